//go:build long

package main

// long has the tests take their full size: see the target long of the Makefile.
const long = true
