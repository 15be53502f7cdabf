package shop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Ledger is an append-only file of JSON lines, one effect each, at most one per
// idempotency key. All methods may be called from any number of goroutines, and
// on Unix several processes may have the same ledger open.
//
// An entry is appended with one write(2) before it is acknowledged, so a killed
// process loses nothing that was acknowledged: the bytes are the operating
// system's by then. A power cut can lose what the system has not written to the
// disk, typically the last half minute; Sync and Close wait for the disk.
type Ledger[E Entry] struct {
	path string
	fold func(E)

	// mu is taken before the file's lock, and guards all below as well as
	// whatever fold writes to.
	mu    sync.Mutex
	file  *os.File
	write func([]byte) (int, error)
	index map[string]E
	// size and lines count what was read or written here; the file may be longer
	// by what other processes appended since.
	size  int64
	lines int
	// failed is the first error after which the file and the index may differ;
	// everything is refused with it from then on.
	failed error
}

// OpenLedger opens the ledger called name in dir, creating both as needed, and
// replays it. fold, unless nil, is called for every entry in the file's order, now
// and later and whichever process wrote it, under the ledger's lock: it must be quick and
// must not call the ledger.
//
// A torn last line, left by a process that was killed while writing, was never
// acknowledged: it is cut off. Any other line that cannot be read is a
// *[CorruptError].
func OpenLedger[E Entry](dir, name string, fold func(E)) (*Ledger[E], error) {
	if fold == nil {
		fold = func(E) {}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", name, err)
	}
	path := filepath.Join(dir, name+".jsonl")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Ledger[E]{path: path, fold: fold, file: file, write: file.Write, index: make(map[string]E)}
	if err := l.View(func() {}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

// Path is the ledger's file.
func (l *Ledger[E]) Path() string { return l.path }

// Once records entry under key, unless the key has an entry already. It returns
// the entry that the key has now, and whether this call recorded it.
func (l *Ledger[E]) Once(key string, entry E) (first bool, recorded E, err error) {
	return l.OnceFunc(key, func() (E, error) { return entry, nil })
}

// OnceFunc is Once for an entry that depends on what the ledger holds: decide is
// called under the ledger's lock, with every earlier entry folded, and only if the
// key has no entry. If it fails nothing is recorded and its error is returned.
// decide must not call the ledger.
func (l *Ledger[E]) OnceFunc(key string, decide func() (E, error)) (first bool, recorded E, err error) {
	if err := checkKey(key); err != nil {
		return false, recorded, fmt.Errorf("ledger %s: %w", l.path, err)
	}
	if entry, ok := l.Lookup(key); ok {
		return false, entry, nil
	}
	err = l.locked(func() error {
		var ok bool
		if recorded, ok = l.index[key]; ok {
			return nil
		}
		if recorded, err = decide(); err != nil {
			return err
		}
		first = true
		return l.append(Record[E]{Key: key, At: time.Now().UTC(), Entry: recorded})
	})
	if err != nil {
		var none E
		return false, none, err
	}
	return first, recorded, nil
}

// Lookup returns the entry that this process knows under key. An entry that
// another process recorded since the last call of another method may be missing.
func (l *Ledger[E]) Lookup(key string) (E, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, ok := l.index[key]
	return entry, ok
}

// View calls see under the ledger's lock, with every entry in the file folded.
func (l *Ledger[E]) View(see func()) error {
	return l.locked(func() error {
		see()
		return nil
	})
}

// Records reads the file from its start up to where it ends now, and yields each
// record in order: what a restarted process would find, not what this one
// remembers. After an error, which is yielded alone, it ends.
func (l *Ledger[E]) Records() iter.Seq2[Record[E], error] {
	return func(yield func(Record[E], error) bool) {
		var file *os.File
		var size int64
		var count int
		if err := l.View(func() { file, size, count = l.file, l.size, l.lines }); err != nil {
			yield(Record[E]{}, err)
			return
		}
		// The part up to size never changes again, so it is read without the lock.
		lines := bufio.NewReader(io.NewSectionReader(file, 0, size))
		for n := range count {
			text, err := readLine(lines)
			if err != nil {
				yield(Record[E]{}, fmt.Errorf("read ledger %s at line %d: %w", l.path, n+1, err))
				return
			}
			record, err := decodeRecord[E](text)
			if err != nil {
				yield(Record[E]{}, &CorruptError{Path: l.path, Line: n + 1, Err: err})
				return
			}
			if !yield(record, nil) {
				return
			}
		}
	}
}

// Sync returns when everything acknowledged before it is on the disk.
func (l *Ledger[E]) Sync() error {
	return l.locked(l.sync)
}

// sync does not try twice: after a failed fsync the system may have dropped the
// pages it could not write, and a second one would succeed without them.
func (l *Ledger[E]) sync() error {
	if err := l.file.Sync(); err != nil {
		l.failed = fmt.Errorf("sync ledger: %w", err)
		return l.failed
	}
	return syncDir(filepath.Dir(l.path))
}

// Close syncs the ledger and closes it. Later calls get [ErrClosed], a second
// Close nil.
func (l *Ledger[E]) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.sync()
	err = errors.Join(err, l.file.Close())
	l.file = nil
	return err
}

// locked calls do with both locks held and the other processes' entries folded.
func (l *Ledger[E]) locked(do func() error) (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.file == nil:
		return fmt.Errorf("ledger %s: %w", l.path, ErrClosed)
	case l.failed != nil:
		return l.failed
	}
	if err := lockFile(l.file); err != nil {
		return fmt.Errorf("lock ledger %s: %w", l.path, err)
	}
	defer func() {
		if unlock := unlockFile(l.file); unlock != nil {
			err = errors.Join(err, fmt.Errorf("unlock ledger %s: %w", l.path, unlock))
		}
	}()
	if err := l.catchUp(); err != nil {
		return err
	}
	return do()
}

// catchUp reads what the file holds beyond l.size. The file's lock is held, so
// nobody is writing: an unfinished line has no writer that will finish it.
func (l *Ledger[E]) catchUp() error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("ledger %s: %w", l.path, err)
	}
	if info.Size() == l.size {
		return nil
	}
	if info.Size() < l.size {
		l.failed = fmt.Errorf("ledger %s shrank from %d to %d bytes while open: restore it and start again", l.path, l.size, info.Size())
		return l.failed
	}
	lines := bufio.NewReader(io.NewSectionReader(l.file, l.size, info.Size()-l.size))
	for {
		text, err := readLine(lines)
		switch {
		case errors.Is(err, io.EOF) && len(text) == 0:
			return nil
		case errors.Is(err, io.EOF) && torn(text):
			return l.cut()
		case errors.Is(err, io.EOF):
			return l.corrupt(errors.New("is no line of a ledger"))
		case errors.Is(err, errLineTooLong):
			return l.corrupt(err)
		case err != nil:
			return fmt.Errorf("read ledger: %w", err)
		}
		if err := l.replay(text); err != nil {
			return l.corrupt(err)
		}
	}
}

func (l *Ledger[E]) replay(text []byte) error {
	record, err := decodeRecord[E](text)
	if err != nil {
		return err
	}
	if _, ok := l.index[record.Key]; ok {
		return fmt.Errorf("key %q was recorded before", record.Key)
	}
	l.accept(record, len(text))
	return nil
}

// corrupt refuses the line behind the last good one, and everything after it.
func (l *Ledger[E]) corrupt(err error) error {
	l.failed = &CorruptError{Path: l.path, Line: l.lines + 1, Err: err}
	return l.failed
}

// cut ends the file behind the last whole line.
func (l *Ledger[E]) cut() error {
	if err := os.Truncate(l.path, l.size); err != nil {
		l.failed = fmt.Errorf("ledger %s: cut off the torn line %d: %w", l.path, l.lines+1, err)
		return l.failed
	}
	return nil
}

func (l *Ledger[E]) append(record Record[E]) error {
	text, err := encodeRecord(record)
	if err != nil {
		return fmt.Errorf("ledger %s: %w", l.path, err)
	}
	if _, err := l.write(text); err != nil {
		// A part of the line may be in the file, for instance on a full disk. The
		// next line must not be glued to it.
		return errors.Join(fmt.Errorf("append to ledger: %w", err), l.cut())
	}
	l.accept(record, len(text))
	return nil
}

func (l *Ledger[E]) accept(record Record[E], size int) {
	l.index[record.Key] = record.Entry
	l.size += int64(size)
	l.lines++
	l.fold(record.Entry)
}
