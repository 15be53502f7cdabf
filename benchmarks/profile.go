package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
)

// startProfiles begins the profiles that the options ask for, and gives what ends and writes them.
func startProfiles(o options) (finish func() error, err error) {
	finish = func() error { return writeAllocations(o.memProfile) }
	if o.cpuProfile == "" {
		return finish, nil
	}
	f, err := os.Create(o.cpuProfile)
	if err != nil {
		return nil, fmt.Errorf("CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("CPU profile: %w", err), f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(f.Close(), writeAllocations(o.memProfile))
	}, nil
}

// writeAllocations writes what was allocated since the program began; nothing for no path.
func writeAllocations(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("allocation profile: %w", err)
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
