//go:build long

package engine_test

// long has the tests take their full size: see the target long of the Makefile.
const long = true
