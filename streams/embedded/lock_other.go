//go:build !((unix && !aix && !solaris) || illumos)

package embedded

import "os"

// lockFile does nothing: this system has no lock that ends with the process, and one that outlives it would keep a
// killed process from starting again. Two servers on one directory are the caller's to avoid.
func lockFile(*os.File) error { return nil }
