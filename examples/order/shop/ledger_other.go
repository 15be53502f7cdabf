//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package shop

import "os"

// Without flock(2) a ledger belongs to one process at a time; its user sees to it.
func lockFile(*os.File) error { return nil }

func unlockFile(*os.File) error { return nil }

// A directory cannot be synced on every system; where it cannot, the file's own
// sync has to do.
func syncDir(string) error { return nil }
