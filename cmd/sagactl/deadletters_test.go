package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/shard"
)

// spoil sends garbage to sagas, and returns when it was set aside.
func (w town) spoil(t testing.TB, ids ...string) {
	t.Helper()
	ns := w.client.Namespace()
	for _, id := range ids {
		subject := fmt.Sprintf("saga.default.%s.greet.%s.cmd", shard.Of("greet", id), id)
		if _, err := ns.JetStream().Publish(t.Context(), subject, []byte("garbage")); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool {
		n, err := ns.DeadLetters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n == uint64(len(ids))
	})
}

func TestDeadLettersAreListedShownRedrivenAndDropped(t *testing.T) {
	w := newTown(t)
	if code, out, _ := w.ctl(t, "deadletters", "list", "-o", "json"); code != exitOK || !strings.Contains(out, `"letters": []`) {
		t.Errorf("list of none: %d\n%s", code, out)
	}
	w.spoil(t, "bad-1", "bad-2", "bad-3")
	code, out, _ := w.ctl(t, "deadletters", "list", "-d", "greet", "--limit", "2", "-o", "json")
	var page struct {
		Letters []letterView `json:"letters"`
		Next    uint64       `json:"next"`
	}
	if err := json.Unmarshal([]byte(out), &page); err != nil || code != exitOK || len(page.Letters) != 2 || page.Next != 2 {
		t.Errorf("list: %d, %v\n%s", code, err, out)
	}
	if code, out, _ = w.ctl(t, "deadletters", "list", "--after", "2"); code != exitOK || strings.Count(out, "greet/bad-") != 1 || strings.Contains(out, "--after") {
		t.Errorf("list --after: %d\n%s", code, out)
	}
	if code, out, _ = w.ctl(t, "deadletters", "show", "1"); code != exitOK || !strings.Contains(out, "cannot decode it") || !strings.Contains(out, "payload   garbage") {
		t.Errorf("show: %d\n%s", code, out)
	}
	code, out, _ = w.ctl(t, "deadletters", "redrive", "--all", "-d", "greet")
	if code != exitOK || !strings.Contains(out, "3 would be sent again; --yes does it") || !strings.Contains(out, "3 of them this build cannot decode") {
		t.Errorf("redrive without --yes: %d\n%s", code, out)
	}
	if n, err := w.client.Namespace().DeadLetters(t.Context()); err != nil || n != 3 {
		t.Errorf("after a dry run there are %d, %v", n, err)
	}
	if code, out, _ = w.ctl(t, "deadletters", "redrive", "1", "--yes"); code != exitOK || !strings.Contains(out, "1 sent again") {
		t.Errorf("redrive: %d\n%s", code, out)
	}
	waitFor(t, func() bool { // it is garbage still
		_, out, _ := w.ctl(t, "deadletters", "show", "4")
		return strings.Contains(out, "bad-")
	})
	if code, out, _ = w.ctl(t, "deadletters", "drop", "--all", "--yes", "-o", "json"); code != exitOK || !strings.Contains(out, `"done": true`) {
		t.Errorf("drop: %d\n%s", code, out)
	}
	if n, err := w.client.Namespace().DeadLetters(t.Context()); err != nil || n != 0 {
		t.Errorf("%d are left, %v", n, err)
	}
}

func TestAllDeadLettersMayBeNoneOrMoreThanAPage(t *testing.T) {
	w := newTown(t)
	none := func(filter ...string) {
		t.Helper()
		for use, would := range map[string]string{"redrive": "0 would be sent again; --yes does it", "drop": "0 would be dropped; --yes does it"} {
			args := append([]string{"deadletters", use, "--all"}, filter...)
			if code, out, text := w.ctl(t, args...); code != exitOK || !strings.Contains(out, would) {
				t.Errorf("%q: %d\n%s%s", args, code, out, text)
			}
			args = append(args, "--yes", "-o", "json")
			code, out, text := w.ctl(t, args...)
			if code != exitOK || !strings.Contains(out, `"letters": []`) || !strings.Contains(out, `"done": true`) {
				t.Errorf("%q: %d\n%s%s", args, code, out, text)
			}
		}
	}
	none()
	ids := make([]string, engine.DefaultLetters+1)
	for i := range ids {
		ids[i] = fmt.Sprintf("bad-%d", i)
	}
	w.spoil(t, ids...)
	none("-d", "other")
	none("-d", "greet", "--id", "other")
	want := fmt.Sprintf("%d would be dropped", len(ids))
	if code, out, text := w.ctl(t, "deadletters", "drop", "--all"); code != exitOK || !strings.Contains(out, want) {
		t.Errorf("drop --all: %d, want %q\n%s%s", code, want, out, text)
	}
}

func TestALetterThatWasCutIsShownAndNotRedriven(t *testing.T) {
	w := newTown(t)
	ns := w.client.Namespace()
	subject := fmt.Sprintf("saga.default.%s.greet.large.cmd", shard.Of("greet", "large"))
	if _, err := ns.JetStream().Publish(t.Context(), subject, make([]byte, ns.Conn().MaxPayload())); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		n, err := ns.DeadLetters(t.Context())
		return err == nil && n == 1
	})
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitOK, "of its 1048576 bytes; it cannot be redriven", []string{"show", "1"}},
		{exitOK, `"size": 1048576`, []string{"show", "1", "-o", "json"}},
		{exitOK, "1 of them cannot: they were cut", []string{"redrive", "--all"}},
		{exitNo, "0 of 1 dead letters sent again: saga greet/large: redriving dead letter 1: the dead letter was cut", []string{"redrive", "--all", "--yes"}},
		{exitOK, "1 dropped", []string{"drop", "1", "--yes"}},
	} {
		code, out, text := w.ctl(t, append([]string{"deadletters"}, c.args...)...)
		if code != c.code || !strings.Contains(out+text, c.want) {
			t.Errorf("deadletters %q: exit %d, want %d with %q\n%.300s%s", c.args, code, c.code, c.want, out, text)
		}
	}
}

func TestDeadLetterCommandsRefuseWhatTheyCannotMean(t *testing.T) {
	w := newTown(t)
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitNotFound, "no such dead letter", []string{"show", "7"}},
		{exitNotFound, "no such dead letter", []string{"redrive", "7", "--yes"}},
		{exitUsage, "must be a positive number", []string{"show", "x"}},
		{exitUsage, "must be a positive number", []string{"drop", "0"}},
		{exitUsage, "or --all", []string{"drop"}},
		{exitUsage, "or --all", []string{"redrive", "1", "--all"}},
		{exitUsage, "go with --all", []string{"redrive", "1", "-d", "greet"}},
		{exitUsage, "goes with --definition", []string{"list", "--id", "x"}},
		{exitUsage, "--limit", []string{"list", "--limit", "0"}},
	} {
		code, out, text := w.ctl(t, append([]string{"deadletters"}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(text, c.want) {
			t.Errorf("deadletters %q: exit %d, want %d with %q\n%s%s", c.args, code, c.code, c.want, out, text)
		}
	}
}
