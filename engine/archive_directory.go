package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// DirectoryArchive keeps exports as files in a directory, which is created if need be. A file is written under another
// name, synced, and then renamed.
func DirectoryArchive(path string) Archive { return directoryArchive(path) }

type directoryArchive string

func (d directoryArchive) Create(_ context.Context, name string) (ArchiveFile, error) {
	const private = 0o750
	if err := os.MkdirAll(string(d), private); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(string(d), "."+name+".*")
	if err != nil {
		return nil, err
	}
	return &directoryFile{File: f, path: filepath.Join(string(d), name)}, nil
}

type directoryFile struct {
	*os.File        // under its other name
	path     string // where it belongs
}

func (f *directoryFile) Commit(context.Context) error {
	err := f.Sync()
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDirectory(filepath.Dir(f.path))
}

// syncDirectory makes the names of a directory safe.
func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (f *directoryFile) Abort() {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
