package jetsaga_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// transient is what means nothing to somebody who reads the tree alone, later, elsewhere. A line is held against the
// pattern if it has one of the words in it, in whatever case: searching for words is cheap. The patterns do not match
// themselves.
var transient = []struct {
	what    string
	words   []string
	pattern *regexp.Regexp
}{
	{
		"a session",
		[]string{"session"},
		regexp.MustCompile(`(?i)\b(this|previous|next|last|earlier|later) session\b|\bsession[ _-]?(id|no|number)?[ .:#]*\d`),
	},
	{
		"an issue's number",
		[]string{"issue", "ticket", "bug", "request", "/pull/"},
		regexp.MustCompile(`(?i)\b(issue|ticket|bug|pull request|merge request)s?[ -]*#?\d|/(issues|pull|merge_requests)/\d`),
	},
	{
		"an issue's number",
		[]string{"#"},
		regexp.MustCompile(`(^|[\s(])#\d+\b`),
	},
	{
		"a host of a package registry",
		[]string{".org", ".io"},
		regexp.MustCompile(
			`(?i)\b((proxy|sum|index)\.golang|registry\.npmjs|pypi|deb\.debian)\.org\b|\b(registry-1\.docker|docker|ghcr|gcr|quay)\.io\b`),
	},
	{
		"a path on one machine",
		[]string{"work/", "root/", "home/", "users/"},
		regexp.MustCompile(`(^|[\s"'=(:])/(work|root|home|Users)/`),
	},
}

func TestNoFileNamesWhatReadersDoNotHave(t *testing.T) {
	err := walk(func(name string) error {
		if name == "go.sum" || name == ".git" { // hashes, which the go command writes, and where a worktree says what it belongs to
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil || !isText(text) {
			return err
		}
		for _, found := range transients(string(text)) {
			t.Errorf("%s: %s", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isText(data []byte) bool { return utf8.Valid(data) && !bytes.ContainsRune(data, 0) }

// transients gives, line by line, what a text names that it should not.
func transients(text string) (found []string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		lower := strings.ToLower(line)
		for _, p := range transient {
			if !slices.ContainsFunc(p.words, func(word string) bool { return strings.Contains(lower, word) }) {
				continue
			}
			for _, match := range p.pattern.FindAllString(line, -1) {
				found = append(found, fmt.Sprintf("line %d names %s: %s", n, p.what, strings.TrimSpace(match)))
			}
		}
	}
	return found
}

func TestWhatReadersDoNotHaveIsSeen(t *testing.T) {
	for text, want := range map[string]bool{
		"as decided in the last " + "session":            true,
		"session " + "12 did this":                       true,
		"a TLS session is resumed":                       false,
		"fixes " + "#12":                                 true,
		"issue" + " 12":                                  true,
		"see example.com/x/y/" + "pull/12":               true,
		"issue it twice; 12 of them; %#08x; [a](b.md#1)": false,
		"GOPROXY=https://" + "proxy." + "golang.org":     true,
		"from " + "ghcr." + "io/x/y":                     true,
		"golang.org/x/sync, docs.nats.io":                false,
		"cd " + "/" + "root/x":                           true,
		"a/work/item, /tmp/x":                            false,
	} {
		if found := transients(text); (found != nil) != want {
			t.Errorf("%q: found %q", text, found)
		}
	}
}
