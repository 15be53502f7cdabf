//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package shop

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile waits until no other process has the file locked. The lock is the
// kernel's and ends with the process that holds it, however that ends.
func lockFile(file *os.File) error {
	return flock(file, syscall.LOCK_EX)
}

func unlockFile(file *os.File) error {
	return flock(file, syscall.LOCK_UN)
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// syncDir makes the names in dir durable: a file's own sync does not cover the
// directory that lists it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = d.Sync()
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
