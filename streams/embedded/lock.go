package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrInUse tells that another process, or another part of this one, is using the directory.
var ErrInUse = errors.New("directory is in use")

// LockName is the name of the file that is locked. It stays when the lock is released.
const LockName = "jetsaga.lock"

// Lock keeps a directory for its holder until it is released, or until the process ends in whatever way.
type Lock struct{ file *os.File }

// Acquire locks a directory that exists. Where another holds it, the error is [ErrInUse]. On systems without flock,
// such as Windows, nothing is locked and nobody is refused.
func Acquire(dir string) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return &Lock{f}, nil
}

// Release gives the directory back.
func (l *Lock) Release() error { return l.file.Close() }
