//go:build (unix && !aix && !solaris) || illumos

package embedded

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks the file until it is closed, or gives [ErrInUse]. The lock is the kernel's, so a killed process leaves
// none behind.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}
