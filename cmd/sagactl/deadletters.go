package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/streams"
)

func (a *app) deadletters() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "Look after the commands that were set aside",
		Long: "Deadletters shows the commands that were set aside, because they could not be decoded or never be carried out, sends them " +
			"again, and drops them.",
	}
	cmd.AddCommand(a.lettersList(), a.lettersShow(), a.lettersRedrive(), a.lettersDrop())
	return cmd
}

// letterView is a dead letter as -o json prints it.
type letterView struct {
	Number     uint64    `json:"number"`
	Definition string    `json:"definition"`
	ID         string    `json:"id"`
	Time       time.Time `json:"time"`
	Reason     string    `json:"reason"`
	Command    string    `json:"command,omitempty"`
	// Undecodable tells why this build cannot decode the command.
	Undecodable string `json:"undecodable,omitempty"`
	Stream      string `json:"stream"`
	Sequence    uint64 `json:"sequence"`
	Payload     []byte `json:"payload"` // base64
	// Size is how many bytes the command has of which the payload is only the beginning; such a letter cannot be redriven.
	Size int `json:"size,omitempty"`
}

// letterPageView is a page of dead letters as -o json prints it.
type letterPageView struct {
	Letters []letterView `json:"letters"`
	Next    uint64       `json:"next"`
}

// letterDeedView is what was done with dead letters, as -o json prints it.
type letterDeedView struct {
	Letters []letterView `json:"letters"`
	Done    bool         `json:"done"`
}

func viewLetter(l *engine.DeadLetter) letterView {
	v := letterView{
		Number: l.Number, Definition: l.Key.Definition, ID: l.Key.ID, Time: l.Time, Reason: l.Reason,
		Command: l.Command, Stream: l.Stream, Sequence: l.Sequence, Payload: l.Data,
		Size: l.Size,
	}
	if l.Undecodable != nil {
		v.Undecodable = l.Undecodable.Error()
	}
	return v
}

const letterFields = "number, definition, id, time, reason, command, undecodable, stream, sequence, payload (base64), " +
	"size (of the command, where the payload is only its beginning)"

// printLetters prints dead letters, one a line.
func (a *app) printLetters(letters []letterView) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "NUMBER\tTIME\tSAGA\tCOMMAND\tREASON")
	for i := range letters {
		l := &letters[i]
		command := l.Command
		if command == "" {
			command = "?"
		}
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s/%s\t%s\t%s\n", l.Number, l.Time.Local().Format(timeFormat), l.Definition, l.ID, command, l.Reason)
	}
	return w.Flush()
}

func (a *app) lettersList() *cobra.Command {
	var q engine.LetterQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the commands that were set aside",
		Long: "List shows a page of the commands that were set aside, the oldest first.\n\n" +
			"With -o json: letters (" + letterFields + "), next (the number after which the next page begins, 0 where there is none).",
		Example: "  sagactl deadletters list -d place-order",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q.Limit < 1 {
				return usagef("--limit is %d, must be positive", q.Limit)
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, c *engine.Client) error {
				letters, err := c.DeadLetters(ctx, q)
				if err != nil {
					return letterUsage(err)
				}
				views, next := viewLetters(letters), uint64(0)
				if len(letters) == q.Limit {
					next = letters[len(letters)-1].Number
				}
				if a.json() {
					return a.printJSON(letterPageView{views, next})
				}
				if err := a.printLetters(views); err != nil {
					return err
				}
				if next > 0 {
					a.printf("there may be more: --after %d\n", next)
				}
				return nil
			})
		},
	}
	letterFlags(cmd, &q.LetterFilter)
	cmd.Flags().Uint64Var(&q.After, "after", 0, "go on after this number")
	cmd.Flags().IntVar(&q.Limit, "limit", engine.DefaultLetters, "letters on a page")
	return cmd
}

func letterFlags(cmd *cobra.Command, f *streams.LetterFilter) {
	cmd.Flags().StringVarP(&f.Definition, "definition", "d", "", "of this definition")
	cmd.Flags().StringVar(&f.ID, "id", "", "of this saga; goes with --definition")
}

// letterUsage has what is wrong with a filter be what is wrong with the command line.
func letterUsage(err error) error {
	if errors.Is(err, streams.ErrLetterFilter) {
		return usagef("--id goes with --definition")
	}
	return err
}

func viewLetters(letters []engine.DeadLetter) []letterView {
	views := make([]letterView, len(letters))
	for i := range letters {
		views[i] = viewLetter(&letters[i])
	}
	return views
}

func (a *app) lettersShow() *cobra.Command {
	return &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show a command that was set aside, with its payload",
		Long:    "Show tells of one command that was set aside.\n\nWith -o json: " + letterFields + ".",
		Example: "  sagactl deadletters show 17",
		Args:    arguments("NUMBER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := letterNumber(args[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, c *engine.Client) error {
				letter, err := c.DeadLetter(ctx, number)
				if err != nil {
					return err
				}
				v := viewLetter(&letter)
				if a.json() {
					return a.printJSON(v)
				}
				a.printf("number    %d\nsaga      %s\nset aside %s\nreason    %s\nstored    %s, %d\n",
					v.Number, letter.Key, v.Time.Local().Format(timeFormat), v.Reason, v.Stream, v.Sequence)
				switch {
				case letter.Cut():
					a.printf("command   cut: these are %d of its %d bytes; it cannot be redriven\n", len(v.Payload), v.Size)
				case v.Undecodable != "":
					a.printf("command   this build cannot decode it: %s\n", v.Undecodable)
				default:
					a.printf("command   %s\n", v.Command)
				}
				if utf8.Valid(v.Payload) {
					a.printf("payload   %s\n", v.Payload)
				} else {
					a.printf("payload   %q\n", v.Payload)
				}
				return nil
			})
		},
	}
}

func letterNumber(text string) (uint64, error) {
	number, err := strconv.ParseUint(text, 10, 64)
	if err != nil || number == 0 {
		return 0, usagef("NUMBER is %q, must be a positive number", text)
	}
	return number, nil
}

// letterDeed is what is done with some of the dead letters.
type letterDeed struct {
	use, short, long string
	would, done      string
	do               func(ctx context.Context, c *engine.Client, number uint64) (engine.DeadLetter, error)
}

func (a *app) lettersRedrive() *cobra.Command {
	return a.letterDeed(letterDeed{
		use: "redrive", short: "Send commands that were set aside again",
		long: "Redrive sends commands that were set aside to their sagas again and removes them from the dead letters. Use it once the " +
			"cause is fixed. Each is sent once, however often redrive is interrupted and called again. One that was cut, because it was too " +
			"large for a dead letter, cannot be sent again: it is told of, and the rest goes on.",
		would: "would be sent again", done: "sent again",
		do: func(ctx context.Context, c *engine.Client, number uint64) (engine.DeadLetter, error) {
			return c.Redrive(ctx, number)
		},
	})
}

func (a *app) lettersDrop() *cobra.Command {
	return a.letterDeed(letterDeed{
		use: "drop", short: "Remove commands that were set aside",
		long:  "Drop removes commands that were set aside for good. They are not carried out.",
		would: "would be dropped", done: "dropped",
		do: func(ctx context.Context, c *engine.Client, number uint64) (engine.DeadLetter, error) {
			return c.DropDeadLetter(ctx, number)
		},
	})
}

func (a *app) letterDeed(d letterDeed) *cobra.Command {
	var f streams.LetterFilter
	var all, yes bool
	cmd := &cobra.Command{
		Use:   d.use + " NUMBER...",
		Short: d.short,
		Long: d.long + " It takes their numbers, or --all, which --definition and --id narrow. Without --yes it only tells what it would do.\n\n" +
			"With -o json: letters (" + letterFields + "), done.",
		Example: "  sagactl deadletters " + d.use + " 17 18 --yes\n  sagactl deadletters " + d.use + " --all -d place-order",
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return usagef("%s takes the numbers of dead letters, or --all", d.use)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			numbers := make([]uint64, len(args))
			for i, arg := range args {
				var err error
				if numbers[i], err = letterNumber(arg); err != nil {
					return err
				}
			}
			if !all && f != (streams.LetterFilter{}) {
				return usagef("--definition and --id go with --all")
			}
			c, nc, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer nc.Close()
			ctx := cmd.Context()
			letters, err := a.chosenLetters(ctx, c, f, all, numbers)
			if err != nil {
				return letterUsage(err)
			}
			return a.deal(ctx, c, d, letters, yes)
		},
	}
	letterFlags(cmd, &f)
	cmd.Flags().BoolVar(&all, "all", false, "all that there are now")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// chosenLetters reads the letters that were named, or all that there are at the time of the call: what comes back while
// they are dealt with is not dealt with again.
func (a *app) chosenLetters(ctx context.Context, c *engine.Client, f streams.LetterFilter, all bool, numbers []uint64) ([]engine.DeadLetter, error) {
	var letters []engine.DeadLetter
	for _, number := range numbers {
		letter, err := c.DeadLetter(ctx, number)
		if err != nil {
			return nil, err
		}
		letters = append(letters, letter)
	}
	for q := (engine.LetterQuery{LetterFilter: f}); all; {
		page, err := c.DeadLetters(ctx, q)
		if err != nil {
			return nil, err
		}
		letters = append(letters, page...)
		if all = len(page) == engine.DefaultLetters; all {
			q.After = page[len(page)-1].Number
		}
	}
	return letters, nil
}

// deal does with the letters what is to be done, or tells of it.
func (a *app) deal(ctx context.Context, c *engine.Client, d letterDeed, letters []engine.DeadLetter, yes bool) error {
	done := 0
	var cut error
	for i := range letters {
		if !yes {
			break
		}
		_, err := d.do(ctx, c, letters[i].Number)
		switch {
		case errors.Is(err, streams.ErrLetterCut):
			cut = cmp.Or(cut, err)
		case err != nil && !errors.Is(err, streams.ErrNoLetter):
			return fmt.Errorf("%d of %d dead letters %s: %w", done, len(letters), d.done, err)
		default:
			done++
		}
	}
	if cut != nil {
		return fmt.Errorf("%d of %d dead letters %s: %w", done, len(letters), d.done, cut)
	}
	views := viewLetters(letters)
	if a.json() {
		return a.printJSON(letterDeedView{views, yes})
	}
	if err := a.printLetters(views); err != nil {
		return err
	}
	undecodable, short := 0, 0
	for i := range letters {
		if letters[i].Cut() {
			short++
		} else if letters[i].Undecodable != nil {
			undecodable++
		}
	}
	if yes {
		a.printf("%d %s\n", done, d.done)
		return nil
	}
	a.printf("%d %s; --yes does it\n", len(letters), d.would)
	if short > 0 && d.use == "redrive" {
		a.printf("%d of them cannot: they were cut to fit the server's max_payload\n", short)
	}
	if undecodable > 0 && d.use == "redrive" {
		a.printf("%d of them this build cannot decode; workers of the same build will set them aside again\n", undecodable)
	}
	return nil
}

// withClient does something with a client for a namespace that exists, for as long as the server may take to answer.
func (a *app) withClient(ctx context.Context, do func(context.Context, *engine.Client) error) error {
	c, nc, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := a.asking(ctx)
	defer cancel()
	return do(ctx, c)
}
