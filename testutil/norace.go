//go:build !race

package testutil

// raced: see race.go.
const raced = false
