//go:build race

package testutil

// raced: the race detector slows the workers several times over, so promises about time are not held against them.
const raced = true
