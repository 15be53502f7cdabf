package shop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// maxKey is the longest idempotency key, in bytes.
	maxKey = 512

	// maxLine is the longest line, in bytes, its newline included. A longer run of
	// bytes without a newline cannot be a torn line of ours.
	maxLine = 1 << 20

	// linePrefix is how every line begins; a torn line is recognised by it.
	linePrefix = `{"key":"`
)

var errLineTooLong = fmt.Errorf("is longer than %d bytes", maxLine)

// Entry is what a ledger records. Validate is asked before an entry is written
// and after it is read, so a ledger never holds an entry that it would refuse. It
// must refuse what JSON does not give back unchanged, such as text that is not UTF-8.
type Entry interface {
	Validate() error
}

// Record is one line of a ledger.
type Record[E Entry] struct {
	// Key is the idempotency key, unique in the ledger.
	Key string `json:"key"`
	// At is when the entry was recorded, by the clock of the process that did.
	At time.Time `json:"at"`
	// Entry is the effect.
	Entry E `json:"entry"`
}

// CorruptError says that a ledger's file holds a line that no ledger wrote. The
// file is left as it is: restore it, or start in another directory.
type CorruptError struct {
	Path string
	// Line counts from 1.
	Line int
	Err  error
}

// Error names the file, the line and what is wrong with it.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("ledger %s is corrupt at line %d: %v", e.Path, e.Line, e.Err)
}

// Unwrap returns what is wrong with the line.
func (e *CorruptError) Unwrap() error { return e.Err }

// readLine returns the next line with its newline. It returns io.EOF, and what
// there is, if the input ends before one, and errLineTooLong beyond maxLine.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		if len(text) > maxLine {
			return nil, errLineTooLong
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, err
		}
	}
}

// torn tells whether text, which has no newline, can be the beginning of a line
// that was being written: a prefix of one, or the zeros that some file systems
// leave after a power cut. Anything else is not ours to cut off.
func torn(text []byte) bool {
	n := min(len(text), len(linePrefix))
	return string(text[:n]) == linePrefix[:n] || len(bytes.Trim(text, "\x00")) == 0
}

func encodeRecord[E Entry](record Record[E]) ([]byte, error) {
	if err := record.Entry.Validate(); err != nil {
		return nil, fmt.Errorf("entry %q: %w", record.Key, err)
	}
	text, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("entry %q: %w", record.Key, err)
	}
	text = append(text, '\n')
	if len(text) > maxLine {
		return nil, fmt.Errorf("entry %q has %d bytes, at most %d are allowed: %w", record.Key, len(text), maxLine, ErrInvalid)
	}
	return text, nil
}

// decodeRecord is strict: a field that it does not know was written by a version
// that knows more, and dropping it would change what the ledger says.
func decodeRecord[E Entry](text []byte) (Record[E], error) {
	if !utf8.Valid(text) {
		return Record[E]{}, errors.New("is not UTF-8")
	}
	var wire struct {
		Key   string    `json:"key"`
		At    time.Time `json:"at"`
		Entry *E        `json:"entry"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		return Record[E]{}, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Record[E]{}, errors.New("has more than one value")
	}
	if err := checkKey(wire.Key); err != nil {
		return Record[E]{}, err
	}
	if wire.Entry == nil {
		return Record[E]{}, errors.New("has no entry")
	}
	if err := (*wire.Entry).Validate(); err != nil {
		return Record[E]{}, err
	}
	return Record[E]{Key: wire.Key, At: wire.At, Entry: *wire.Entry}, nil
}

// validText tells whether JSON gives all texts back unchanged.
func validText(texts ...string) bool {
	for _, text := range texts {
		if !utf8.ValidString(text) {
			return false
		}
	}
	return true
}

// checkKey refuses what JSON would not give back unchanged.
func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("idempotency key is empty: %w", ErrInvalid)
	case len(key) > maxKey:
		return fmt.Errorf("idempotency key has %d bytes, at most %d are allowed: %w", len(key), maxKey, ErrInvalid)
	case !utf8.ValidString(key):
		return fmt.Errorf("idempotency key %q is not UTF-8: %w", strings.ToValidUTF8(key, "?"), ErrInvalid)
	}
	return nil
}
