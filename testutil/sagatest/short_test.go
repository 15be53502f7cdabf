//go:build !long

package sagatest_test

// long is false in the ordinary run, in which one of four ways to crash twice is tried at each place; see long_test.go.
const long = false
