package engine

import (
	"context"
	"errors"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// DefaultLetters is how many dead letters a page has.
const DefaultLetters = 100

// DeadLetter is a command that was set aside, because it could not be decoded or never be carried out.
type DeadLetter struct {
	streams.DeadLetter
	// Command is the command's name, such as "Start"; empty where this build cannot decode it.
	Command string `json:"command,omitempty"`
	// Undecodable tells why this build cannot decode the command; nil where it can. A letter that is redriven to workers
	// of such a build comes back. Of a letter that was cut it is [streams.ErrLetterCut].
	Undecodable error `json:"-"`
}

func newDeadLetter(d streams.DeadLetter) DeadLetter {
	letter := DeadLetter{DeadLetter: d}
	if d.Cut() {
		letter.Undecodable = streams.ErrLetterCut
		return letter
	}
	c, err := saga.DecodeCommand(d.Data)
	if err != nil {
		letter.Undecodable = err
		return letter
	}
	letter.Command = saga.CommandName(c)
	return letter
}

// LetterQuery says which dead letters are wanted. The zero value wants the first [DefaultLetters] of all.
type LetterQuery struct {
	streams.LetterFilter
	After uint64 // the number after which to go on: that of the last letter of the page before
	Limit int    // letters on a page. Default: [DefaultLetters]
}

// DeadLetters gives a page of the dead letters, the oldest first; fewer than the limit are the last.
func (c *Client) DeadLetters(ctx context.Context, q LetterQuery) ([]DeadLetter, error) {
	switch {
	case q.Limit < 0:
		return nil, errors.New("engine.LetterQuery: Limit must be positive")
	case q.Limit == 0:
		q.Limit = DefaultLetters
	}
	var found []streams.DeadLetter
	err := c.retry(ctx, func(ctx context.Context) (err error) {
		found, err = c.ns.LettersAfter(ctx, q.LetterFilter, q.After, q.Limit)
		return err
	})
	letters := make([]DeadLetter, len(found))
	for i, d := range found {
		letters[i] = newDeadLetter(d)
	}
	return letters, err
}

// DeadLetter gives one dead letter. The error is [streams.ErrNoLetter] where there is none of that number.
func (c *Client) DeadLetter(ctx context.Context, number uint64) (DeadLetter, error) {
	return c.withLetter(ctx, number, c.ns.Letter)
}

// Redrive sends the command of a dead letter to its saga again and removes the letter. Call it once the cause is fixed. It
// may be repeated: the command is sent once. The error is [streams.ErrNoLetter] where there is none of that number, and
// [streams.ErrLetterCut] where the letter holds only a part of the command.
func (c *Client) Redrive(ctx context.Context, number uint64) (DeadLetter, error) {
	return c.withLetter(ctx, number, c.ns.Redrive)
}

// DropDeadLetter removes a dead letter for good. The error is [streams.ErrNoLetter] where there is none of that number.
func (c *Client) DropDeadLetter(ctx context.Context, number uint64) (DeadLetter, error) {
	return c.withLetter(ctx, number, c.ns.DropLetter)
}

// withLetter repeats a call while the server does not answer. A letter that such a repeat does not find any more was dealt
// with by the call before it.
func (c *Client) withLetter(ctx context.Context, number uint64, f func(context.Context, uint64) (streams.DeadLetter, error)) (DeadLetter, error) {
	var letter streams.DeadLetter
	err := c.retry(ctx, func(ctx context.Context) error {
		d, err := f(ctx, number)
		if errors.Is(err, streams.ErrNoLetter) && letter.Number == number {
			return nil
		}
		if d.Number == number {
			letter = d
		}
		return err
	})
	return newDeadLetter(letter), err
}
