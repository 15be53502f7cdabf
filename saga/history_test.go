package saga_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jetsaga/jetsaga/saga"
)

// Histories under testdata/histories are logs as they were stored, a commit a line, by the builds of their time. They are
// written once and kept for ever: what does not fold to the instance beside it any more is a saga that this build would
// lose. To add one, put its commits into a new .jsonl file and run with -update, which writes the instances that are
// missing and leaves the others alone.
func TestOldHistoriesFoldToWhatTheyAlwaysDid(t *testing.T) {
	for _, file := range keptFiles(t, "histories") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var commits []saga.Commit
			for _, line := range lines(t, file) {
				c, err := saga.DecodeCommit(line)
				if err != nil {
					t.Fatal(err)
				}
				encoded, err := saga.EncodeCommit(&c)
				if err != nil {
					t.Fatal(err)
				}
				checkKept(t, line, encoded)
				commits = append(commits, c)
			}
			in, err := saga.Fold(theSaga, commits)
			if err != nil {
				t.Fatal(err)
			}
			checkInstance(t, strings.TrimSuffix(file, ".jsonl")+".json", in)

			if commits[0].Version != 1 {
				return
			}
			for i := range commits {
				commits[i].Snapshot = nil
			}
			if in, err = saga.Fold(theSaga, commits); err != nil {
				t.Fatal(err)
			}
			checkInstance(t, strings.TrimSuffix(file, ".jsonl")+".json", in)
		})
	}
}

func TestOldCommandsCanBeRead(t *testing.T) {
	for _, file := range keptFiles(t, "commands") {
		for _, line := range lines(t, file) {
			c, err := saga.DecodeCommand(line)
			if err != nil {
				t.Errorf("%s: %v: %s", file, err, line)
				continue
			}
			encoded, err := saga.EncodeCommand(c)
			if err != nil {
				t.Fatal(err)
			}
			checkKept(t, line, encoded)
		}
	}
}

func keptFiles(t *testing.T, what string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", what, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s found: %v", what, err)
	}
	return files
}

func lines(t *testing.T, file string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(data), []byte("\n"))
}

// checkInstance fails the test unless the saga is the one in the golden file, at the version there.
func checkInstance(t *testing.T, golden string, in *saga.Instance) {
	t.Helper()
	type folded struct {
		Version  uint64         `json:"version"`
		Instance *saga.Instance `json:"instance"`
	}
	got, err := json.MarshalIndent(folded{in.Version, in}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if errors.Is(err, fs.ErrNotExist) && *saga.Update {
		want, err = got, os.WriteFile(golden, append(got, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bytes.TrimSpace(want), got) {
		t.Errorf("the history folds to\n%s\nand always did to\n%s", got, want)
	}
}

// checkKept fails the test unless everything in the one JSON text is in the other, which may have more.
func checkKept(t *testing.T, was, is []byte) {
	t.Helper()
	var before, after any
	for _, decode := range []struct {
		data []byte
		to   *any
	}{{was, &before}, {is, &after}} {
		if err := json.Unmarshal(decode.data, decode.to); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range lost("", before, after) {
		t.Errorf("%s of\n%s\nis lost in\n%s", path, was, is)
	}
}

// lost gives where a value of the one is not in the other.
func lost(path string, was, is any) []string {
	var found []string
	switch was := was.(type) {
	case map[string]any:
		object, _ := is.(map[string]any)
		for name, value := range was {
			found = append(found, lost(path+"."+name, value, object[name])...)
		}
	case []any:
		array, _ := is.([]any)
		if len(array) != len(was) {
			return []string{path}
		}
		for i, value := range was {
			found = append(found, lost(fmt.Sprintf("%s[%d]", path, i), value, array[i])...)
		}
	default:
		if was != is {
			return []string{path}
		}
	}
	return found
}
