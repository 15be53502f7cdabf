package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrInUse tells that another server, in this process or another, is using the store directory.
var ErrInUse = errors.New("store directory is in use by another server")

// acquire takes the store directory for this server until release, or until the process ends in whatever way.
func acquire(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "jetsaga.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded server: %w", err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("embedded server: %s: %w", dir, errors.Join(ErrInUse, err))
	}
	return f, nil
}

// release gives the directory back; the file stays.
func release(f *os.File) { _ = f.Close() }
