package saga_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// Transcripts tell in testdata/transcripts/*.txt what an activation does, one story a file. A story is a list of
// directives, each with what it is to print:
//
//	# A comment.
//	directive word key=value
//	a line of input, for the directives that take some
//	----
//	what the directive prints, up to an empty line
//
// The directives are listed in carryOut, in transcript_world_test.go. After a change that is meant,
//
//	go test ./saga -run TestTranscripts -update
//
// writes the new output, to be read in the diff.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "transcripts", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts found: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			replayed := replay(t, file, string(text))
			switch {
			case *saga.Update && !t.Failed():
				if err := os.WriteFile(file, []byte(replayed), 0o644); err != nil {
					t.Fatal(err)
				}
			case replayed != string(text):
				t.Errorf("%s; where this is meant, run with -update", firstDifference(file, string(text), replayed))
			}
		})
	}
}

// replay gives the story with the output that its directives print now.
func replay(t *testing.T, file, text string) string {
	t.Helper()
	var out strings.Builder
	w := newWorld(t)
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for total := len(lines); len(lines) > 0; {
		if line := lines[0]; line == "" || line[0] == '#' {
			out.WriteString(line + "\n")
			lines = lines[1:]
			continue
		}
		at := total - len(lines) + 1
		d, rest, err := parseDirective(lines)
		if err != nil {
			t.Fatalf("%s:%d: %v", file, at, err)
		}
		lines = rest
		printed, err := w.carryOut(d)
		if err != nil {
			t.Fatalf("%s:%d: %s: %v", file, at, d.line, err)
		}
		for _, line := range append(append([]string{d.line}, d.input...), "----") {
			out.WriteString(line + "\n")
		}
		out.WriteString(printed)
	}
	return out.String()
}

// directive is one thing that a story has happen.
type directive struct {
	line  string
	name  string
	words []string          // the arguments without a '='
	args  map[string]string // those with one
	input []string
}

// parseDirective takes a directive off the lines, and skips what it printed when the story was written.
func parseDirective(lines []string) (d directive, rest []string, err error) {
	d = directive{line: lines[0], args: map[string]string{}}
	for i, token := range tokens(d.line) {
		name, value, isArg := strings.Cut(token, "=")
		switch {
		case i == 0:
			d.name = token
		case !isArg:
			d.words = append(d.words, token)
		case strings.HasPrefix(value, `"`):
			if d.args[name], err = strconv.Unquote(value); err != nil {
				return d, nil, fmt.Errorf("%s: %w", token, err)
			}
		default:
			d.args[name] = value
		}
	}
	for lines = lines[1:]; len(lines) > 0 && lines[0] != "----"; lines = lines[1:] {
		if lines[0] == "" {
			return d, nil, fmt.Errorf("directive %q has no line of four dashes", d.line)
		}
		d.input = append(d.input, lines[0])
	}
	for len(lines) > 0 && lines[0] != "" {
		lines = lines[1:]
	}
	return d, lines, nil
}

// tokens cuts a line at its spaces, except for those between double quotes.
func tokens(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == ' ' && !quoted
	})
}

// word gives the argument at that place; empty where there is none.
func (d directive) word(i int) string {
	if i < len(d.words) {
		return d.words[i]
	}
	return ""
}

// says reports whether the word is among the arguments.
func (d directive) says(word string) bool {
	return slices.Contains(d.words, word)
}

func (d directive) number(name string) (uint64, error) {
	if d.args[name] == "" {
		return 0, nil
	}
	return strconv.ParseUint(d.args[name], 10, 64)
}

func (d directive) duration(name string) (time.Duration, error) {
	if d.args[name] == "" {
		return 0, nil
	}
	return time.ParseDuration(d.args[name])
}

func firstDifference(file, want, got string) string {
	wanted, gotten := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(wanted), len(gotten)) {
		var w, g string
		if i < len(wanted) {
			w = wanted[i]
		}
		if i < len(gotten) {
			g = gotten[i]
		}
		if w != g {
			return fmt.Sprintf("%s:%d differs:\nwant %s\ngot  %s", file, i+1, w, g)
		}
	}
	return file + " differs"
}
