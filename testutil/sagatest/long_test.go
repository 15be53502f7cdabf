//go:build long

package sagatest_test

// long has the tests take their full size: see the target long of the Makefile.
const long = true
