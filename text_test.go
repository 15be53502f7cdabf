package jetsaga_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// transient is what means nothing to somebody who reads the tree alone, later, elsewhere. The patterns do not match
// themselves.
var transient = []struct {
	what    string
	pattern *regexp.Regexp
}{
	{"a session", regexp.MustCompile(`(?i)\b(this|previous|next|last|earlier|later) session\b|\bsession[ _-]?(id|no|number)?[ .:#]*\d`)},
	{"an issue's number", regexp.MustCompile(`(?i)\b(issue|ticket|bug|pull request|merge request)s?[ -]*#?\d|/(issues|pull|merge_requests)/\d`)},
	{"an issue's number", regexp.MustCompile(`(?m)(^|[\s(])#\d+\b`)},
	{"a host of a package registry", regexp.MustCompile(
		`(?i)\b((proxy|sum|index)\.golang|registry\.npmjs|(files\.|test\.)?pypi|deb\.debian)\.org\b|\b(registry-1\.docker|docker|ghcr|gcr|quay)\.io\b`)},
	{"a path on one machine", regexp.MustCompile(`(?m)(^|[\s"'=(:])/(work|root|home|Users)/`)},
}

func TestNoFileNamesWhatReadersDoNotHave(t *testing.T) {
	err := walk(func(name string) error {
		if name == "go.sum" { // hashes; the go command writes it
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil || !isText(text) {
			return err
		}
		for _, found := range transients(string(text)) {
			t.Errorf("%s names %s", name, found)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func isText(data []byte) bool { return utf8.Valid(data) && !bytes.ContainsRune(data, 0) }

// transients gives what a text names that it should not.
func transients(text string) (found []string) {
	for _, p := range transient {
		for _, match := range p.pattern.FindAllString(text, -1) {
			found = append(found, p.what+": "+strings.TrimSpace(match))
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
