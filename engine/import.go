package engine

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// Imported is what came of an import.
type Imported struct {
	Sagas   int `json:"sagas"`   // that were restored
	Present int `json:"present"` // that an earlier import had restored
	Refused int `json:"refused"` // that were left as they are
}

// RefusedImport tells why a line of an export was not imported.
type RefusedImport struct {
	Line int
	Key  saga.Key // zero where it cannot be read
	// Err is [streams.ErrExists] for a saga that is there already, [streams.ErrNotEnded] for one that would go on, or tells
	// what cannot be read.
	Err error
}

// Import restores sagas that a [Retention] has exported, in the client's namespace: the same logs, byte for byte. They have
// ended, and nothing runs, is emitted or scheduled anew. A saga that exists is left as it is; refused, unless it is nil, is
// called with it, and the import goes on with the rest. One that was purged and is remembered comes back. An import that
// died is made again. The error tells that the file ends early, is no export, or that the server failed.
func (c *Client) Import(ctx context.Context, r io.Reader, refused func(RefusedImport)) (Imported, error) {
	var result Imported
	refuse := func(line int, key saga.Key, err error) {
		result.Refused++
		if refused != nil {
			refused(RefusedImport{line, key, err})
		}
	}
	err := archiveLines(r, func(number int, line []byte) error {
		key, records, err := decodeArchiveLine(line)
		if err != nil {
			refuse(number, key, err)
			return nil
		}
		stored := false
		err = c.retryLong(ctx, func(ctx context.Context) (err error) {
			some, err := c.ns.Restore(ctx, key, records)
			stored = stored || some
			return err
		})
		switch {
		case importRefused(err):
			refuse(number, key, err)
		case err != nil:
			return err
		case stored:
			result.Sagas++
		default:
			result.Present++
		}
		return nil
	})
	if err != nil {
		return result, fmt.Errorf("importing: %w", err)
	}
	return result, nil
}

// importRefused tells a saga that will not be restored from one that could not be.
func importRefused(err error) bool {
	var large *streams.TooLargeError
	return errors.Is(err, streams.ErrExists) || errors.Is(err, streams.ErrNotEnded) || errors.As(err, &large) || unreadable(err)
}
