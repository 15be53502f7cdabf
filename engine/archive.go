package engine

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// Archive is where sagas are exported to: [DirectoryArchive], [ObjectArchive], or the user's own.
type Archive interface {
	// Create begins a file. Names are not used twice.
	Create(ctx context.Context, name string) (ArchiveFile, error)
}

// ArchiveFile is a file that is being written. It is there as a whole, or not at all.
type ArchiveFile interface {
	io.Writer
	// Commit makes the file appear under its name. When it returns nil, the file is safe: the sagas are purged then.
	Commit(ctx context.Context) error
	// Abort gives the file up.
	Abort()
}

// archiveFormat is the number of the form that lines have.
const archiveFormat = 1

// archiveLine is a saga as it is exported: one line of JSON.
type archiveLine struct {
	Format     int             `json:"f"`
	Definition string          `json:"definition"`
	ID         string          `json:"id"`
	Run        string          `json:"run"`    // the last; for people
	Status     saga.Status     `json:"status"` // as which it ended; for people
	Records    []archiveRecord `json:"records"`
}

// archiveRecord is a message of the saga: commands first, then the log, each in their order.
type archiveRecord struct {
	Subject  string      `json:"subject"` // the last token: "cmd" or "evt"
	Sequence uint64      `json:"sequence"`
	Time     time.Time   `json:"time"` // when it was stored
	Header   nats.Header `json:"header,omitempty"`
	Data     []byte      `json:"data"` // base64: what was sent, byte for byte
}

// The last tokens of the subjects of what is exported. Timers are not: those of a saga that has ended mean nothing. Nor is
// the outbox, which is in the log.
const (
	archiveCommand = "cmd"
	archiveCommit  = "evt"
)

// encodeArchiveLine gives a saga's line, with its end.
func encodeArchiveLine(h *streams.Holdings) ([]byte, error) {
	line := archiveLine{
		Format: archiveFormat, Definition: h.Key.Definition, ID: h.Key.ID, Run: h.Saga.Run, Status: h.Saga.Status,
		Records: make([]archiveRecord, len(h.Records)),
	}
	for i := range h.Records {
		r := &h.Records[i]
		line.Records[i] = archiveRecord{Subject: archiveCommand, Sequence: r.Sequence, Time: r.Time, Header: r.Header, Data: r.Data}
		if r.Commit {
			line.Records[i].Subject = archiveCommit
		}
	}
	data, err := json.Marshal(line)
	if err != nil {
		return nil, fmt.Errorf("saga %s: exporting it: %w", h.Key, err)
	}
	return append(data, '\n'), nil
}

// decodeArchiveLine reads a saga's line. A form that this build does not know gives an [*saga.UnknownError].
func decodeArchiveLine(data []byte) (saga.Key, []streams.StoredRecord, error) {
	var line archiveLine
	if err := json.Unmarshal(data, &line); err != nil && line.Format <= archiveFormat {
		return saga.Key{}, nil, err
	}
	key := saga.Key{Definition: line.Definition, ID: line.ID}
	switch {
	case line.Format < 1:
		return key, nil, errors.New("it has no format number")
	case line.Format > archiveFormat:
		return key, nil, &saga.UnknownError{What: "archive format", Name: fmt.Sprint(line.Format)}
	}
	if err := key.Validate(); err != nil {
		return saga.Key{}, nil, err
	}
	records := make([]streams.StoredRecord, len(line.Records))
	for i, r := range line.Records {
		if r.Subject != archiveCommand && r.Subject != archiveCommit {
			return key, nil, fmt.Errorf("record %d has the subject %q, must be %q or %q", i+1, r.Subject, archiveCommand, archiveCommit)
		}
		records[i] = streams.StoredRecord{
			Commit: r.Subject == archiveCommit, Sequence: r.Sequence, Time: r.Time, Header: r.Header, Data: r.Data,
		}
	}
	return key, records, nil
}

// exportFile is a file of lines that is being written.
type exportFile struct {
	name string
	to   ArchiveFile
	zip  *gzip.Writer
}

// newExportFile begins the file number part of a look through the streams that began at a time.
func newExportFile(ctx context.Context, a Archive, namespace, stream string, at time.Time, part int) (*exportFile, error) {
	name := fmt.Sprintf("%s-%s-%s-%04d.jsonl.gz", namespace, stream, at.UTC().Format("20060102T150405.000000000Z"), part)
	to, err := a.Create(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("exporting to %s: %w", name, err)
	}
	return &exportFile{name, to, gzip.NewWriter(to)}, nil
}

func (f *exportFile) write(h *streams.Holdings) error {
	line, err := encodeArchiveLine(h)
	if err != nil {
		return err
	}
	if _, err := f.zip.Write(line); err != nil {
		return fmt.Errorf("exporting to %s: %w", f.name, err)
	}
	return nil
}

func (f *exportFile) commit(ctx context.Context) error {
	err := f.zip.Close()
	if err != nil {
		f.to.Abort()
	} else {
		err = f.to.Commit(ctx)
	}
	if err != nil {
		return fmt.Errorf("exporting to %s: %w", f.name, err)
	}
	return nil
}

func (f *exportFile) abort() { f.to.Abort() }

// maxArchiveLine bounds a line that is read, in bytes. A saga is a few messages, each below the server's max_payload.
const maxArchiveLine = 1 << 30

// archiveLines calls see with each line of an export, by its number, until see fails.
func archiveLines(r io.Reader, see func(number int, line []byte) error) error {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("it is not an export: %w", err)
	}
	scanner := bufio.NewScanner(zip)
	scanner.Buffer(nil, maxArchiveLine)
	for number := 1; scanner.Scan(); number++ {
		if err := see(number, scanner.Bytes()); err != nil {
			return err
		}
	}
	return scanner.Err()
}
