//go:build long

package projections_test

// long has tests run at full size.
const long = true
