package shop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// note is the smallest entry.
type note struct {
	Text string `json:"text"`
}

func (n note) Validate() error {
	if n.Text == "" || !validText(n.Text) {
		return fmt.Errorf("note %q: %w", n.Text, ErrInvalid)
	}
	return nil
}

func openNotes(t testing.TB, dir string) *Ledger[note] {
	t.Helper()
	l, err := OpenLedger[note](dir, "notes", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func once(t testing.TB, l *Ledger[note], key, text string) (bool, string) {
	t.Helper()
	first, recorded, err := l.Once(key, note{text})
	if err != nil {
		t.Fatal(err)
	}
	return first, recorded.Text
}

func texts(t testing.TB, l *Ledger[note]) string {
	t.Helper()
	var all []string
	for record, err := range l.Records() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, record.Key+"="+record.Entry.Text)
	}
	return strings.Join(all, " ")
}

func line(key, text string) string {
	return fmt.Sprintf(`{"key":%q,"at":"2026-01-02T03:04:05Z","entry":{"text":%q}}`+"\n", key, text)
}

func writeNotes(t testing.TB, content string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.jsonl"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLedgerRecordsAKeyOnce(t *testing.T) {
	dir := t.TempDir()
	l := openNotes(t, dir)
	if first, got := once(t, l, "a", "one"); !first || got != "one" {
		t.Fatalf("first call: %v %q", first, got)
	}
	if first, got := once(t, l, "a", "two"); first || got != "one" {
		t.Fatalf("second call: %v %q", first, got)
	}
	if first, _ := once(t, l, "b", "two"); !first {
		t.Fatal("another key was not recorded")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openNotes(t, dir)
	if first, got := once(t, l, "a", "three"); first || got != "one" {
		t.Fatalf("after opening again: %v %q", first, got)
	}
	if got := texts(t, l); got != "a=one b=two" {
		t.Fatal(got)
	}
}

func TestLedgerRecordsNothingWhenDecidingFails(t *testing.T) {
	l := openNotes(t, t.TempDir())
	cause := errors.New("no")
	if first, _, err := l.OnceFunc("a", func() (note, error) { return note{"x"}, cause }); first || !errors.Is(err, cause) {
		t.Fatal(first, err)
	}
	if first, _ := once(t, l, "a", "one"); !first {
		t.Fatal("the failed decision was recorded")
	}
}

func TestLedgerRefusesWhatItCouldNotGiveBack(t *testing.T) {
	l := openNotes(t, t.TempDir())
	tests := map[string]struct {
		key, text string
	}{
		"empty key":        {"", "x"},
		"long key":         {strings.Repeat("k", maxKey+1), "x"},
		"key not UTF-8":    {"\xff", "x"},
		"invalid entry":    {"a", ""},
		"entry not UTF-8":  {"a", "\xff"},
		"entry over limit": {"a", strings.Repeat("x", maxLine)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if first, _, err := l.Once(test.key, note{test.text}); first || !errors.Is(err, ErrInvalid) {
				t.Fatal(first, err)
			}
		})
	}
	if got := texts(t, l); got != "" {
		t.Fatal(got)
	}
}

func TestLedgerCutsOffATornLastLine(t *testing.T) {
	whole := line("a", "one")
	torn := strings.TrimSuffix(line("b", "two"), "\n")
	tails := map[string]string{
		"nothing":               "",
		"one byte":              torn[:1],
		"within the prefix":     torn[:4],
		"within the key":        torn[:9],
		"within the entry":      torn[:len(torn)-4],
		"only the newline lost": torn,
		"zeros":                 strings.Repeat("\x00", 100),
		"a start, then zeros":   torn[:20] + strings.Repeat("\x00", 100),
	}
	for name, tail := range tails {
		t.Run(name, func(t *testing.T) {
			dir := writeNotes(t, whole+tail)
			l := openNotes(t, dir)
			if got := texts(t, l); got != "a=one" {
				t.Fatal(got)
			}
			if first, _ := once(t, l, "b", "again"); !first {
				t.Fatal("the torn line counts")
			}
			again := openNotes(t, dir)
			if got := texts(t, again); got != "a=one b=again" {
				t.Fatal(got)
			}
		})
	}
}

func TestLedgerCutsOffALineTornAtAnyByte(t *testing.T) {
	content := line("a", "one") + line("b", "two") + line("c", "three")
	for size := range len(content) {
		l := openNotes(t, writeNotes(t, content[:size]))
		whole := strings.Count(content[:size], "\n")
		if got := len(strings.Fields(texts(t, l))); got != whole {
			t.Fatalf("cut to %d bytes: %d records, want %d", size, got, whole)
		}
	}
}

func TestLedgerRefusesACorruptLineByNumber(t *testing.T) {
	good := line("a", "one")
	tests := map[string]string{
		"not JSON":          "hello\n",
		"empty line":        "\n",
		"torn in the midst": line("b", "two")[:20] + "\n",
		"two values":        strings.TrimSuffix(line("b", "two"), "\n") + line("c", "three"),
		"unknown field":     `{"key":"b","at":"2026-01-02T03:04:05Z","entry":{"text":"x"},"more":1}` + "\n",
		"unknown in entry":  `{"key":"b","at":"2026-01-02T03:04:05Z","entry":{"text":"x","more":1}}` + "\n",
		"no key":            `{"at":"2026-01-02T03:04:05Z","entry":{"text":"x"}}` + "\n",
		"no entry":          `{"key":"b","at":"2026-01-02T03:04:05Z"}` + "\n",
		"null entry":        `{"key":"b","at":"2026-01-02T03:04:05Z","entry":null}` + "\n",
		"invalid entry":     line("b", ""),
		"key repeated":      good,
		"not UTF-8":         `{"key":"b","at":"2026-01-02T03:04:05Z","entry":{"text":"` + "\xff" + `"}}` + "\n",
		"too long":          line("b", strings.Repeat("x", maxLine)),
		"foreign tail":      "hello",
		"endless tail":      linePrefix + strings.Repeat("x", maxLine),
	}
	for name, bad := range tests {
		t.Run(name, func(t *testing.T) {
			content := good + bad
			if strings.HasSuffix(bad, "\n") {
				content += line("z", "last")
			}
			dir := writeNotes(t, content)
			_, err := OpenLedger[note](dir, "notes", nil)
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Line != 2 {
				t.Fatalf("got %v, want a corrupt line 2", err)
			}
			if !strings.Contains(err.Error(), "notes.jsonl is corrupt at line 2: ") {
				t.Fatal(err)
			}
			after, err := os.ReadFile(filepath.Join(dir, "notes.jsonl"))
			if err != nil || string(after) != content {
				t.Fatalf("the file was changed: %v", err)
			}
		})
	}
}

func TestLedgerOpenFailsWithoutADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var path *fs.PathError
	if _, err := OpenLedger[note](file, "notes", nil); !errors.As(err, &path) {
		t.Fatal(err)
	}
	if _, err := OpenLedger[note](filepath.Dir(file), "no/such", nil); !errors.As(err, &path) {
		t.Fatal(err)
	}
}

func TestLedgerThatIsClosedRefusesAndClosesAgain(t *testing.T) {
	l := openNotes(t, t.TempDir())
	once(t, l, "a", "one")
	for range 2 {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := l.Once("b", note{"two"}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := l.Sync(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	for _, err := range l.Records() {
		if !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestLedgerRecoversFromAShortWrite(t *testing.T) {
	dir := t.TempDir()
	l := openNotes(t, dir)
	once(t, l, "a", "one")
	full := errors.New("disk is full")
	l.write = func(text []byte) (int, error) {
		n, err := l.file.Write(text[:len(text)/2])
		return n, errors.Join(full, err)
	}
	if first, _, err := l.Once("b", note{"two"}); first || !errors.Is(err, full) {
		t.Fatal(first, err)
	}
	l.write = l.file.Write
	if first, _ := once(t, l, "b", "three"); !first {
		t.Fatal("the failed write was acknowledged")
	}
	if got := texts(t, openNotes(t, dir)); got != "a=one b=three" {
		t.Fatal(got)
	}
}

func TestLedgerRefusesAllAfterATornLineThatItCannotCutOff(t *testing.T) {
	l := openNotes(t, t.TempDir())
	full := errors.New("disk is full")
	l.write = func([]byte) (int, error) { return 0, errors.Join(full, os.Remove(l.Path())) }
	if _, _, err := l.Once("a", note{"one"}); !errors.Is(err, full) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	l.write = l.file.Write
	if _, _, err := l.Once("b", note{"two"}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestLedgerRefusesAllAfterItsFileShrank(t *testing.T) {
	l := openNotes(t, t.TempDir())
	once(t, l, "a", "one")
	if err := os.Truncate(l.Path(), 3); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := l.Once("b", note{"two"}); err == nil || !strings.Contains(err.Error(), "shrank") {
			t.Fatal(err)
		}
	}
}

func TestLedgerRecordsReadsTheFileAndNotTheMemory(t *testing.T) {
	l := openNotes(t, t.TempDir())
	once(t, l, "a", "one")
	once(t, l, "b", "two")
	content, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(content), `"two"`, `"tw"`+"\x00", 1)
	if err := os.WriteFile(l.Path(), []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	var corrupt *CorruptError
	n := 0
	for _, err := range l.Records() {
		n++
		if err != nil && (!errors.As(err, &corrupt) || corrupt.Line != 2) {
			t.Fatal(err)
		}
	}
	if corrupt == nil || n != 2 {
		t.Fatalf("%d records, corrupt %v", n, corrupt)
	}
}

func TestLedgerRecordsStopsWhenAsked(t *testing.T) {
	l := openNotes(t, t.TempDir())
	once(t, l, "a", "one")
	once(t, l, "b", "two")
	for record, err := range l.Records() {
		if err != nil || record.Key != "a" {
			t.Fatal(record.Key, err)
		}
		break
	}
}

func TestLedgerHasOneEffectForConcurrentCallsOfOneKey(t *testing.T) {
	dir := t.TempDir()
	// Two ledgers on one file stand for two processes.
	ledgers := []*Ledger[note]{openNotes(t, dir), openNotes(t, dir)}
	const keys, callers = 200, 16
	var firsts atomic.Int64
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			l := ledgers[caller%len(ledgers)]
			for k := range keys {
				first, recorded, err := l.Once(fmt.Sprint("key-", k), note{fmt.Sprint("by-", caller)})
				if err != nil {
					t.Error(err)
					return
				}
				if first {
					firsts.Add(1)
					if recorded.Text != fmt.Sprint("by-", caller) {
						t.Errorf("recorded %q first", recorded.Text)
					}
				}
			}
		})
	}
	wg.Wait()
	if firsts.Load() != keys {
		t.Fatalf("%d effects for %d keys", firsts.Load(), keys)
	}
	a, b := texts(t, ledgers[0]), texts(t, ledgers[1])
	if a != b || len(strings.Fields(a)) != keys {
		t.Fatalf("the two ledgers differ, or have not %d records", keys)
	}
	for k := range keys {
		first, one := once(t, ledgers[0], fmt.Sprint("key-", k), "late")
		second, two := once(t, ledgers[1], fmt.Sprint("key-", k), "late")
		if first || second || one != two {
			t.Fatalf("key %d: %q and %q", k, one, two)
		}
	}
}

func TestLedgerFoldsEachEntryOnceInOrder(t *testing.T) {
	dir := t.TempDir()
	other := openNotes(t, dir)
	once(t, other, "a", "one")
	var folded []string
	l, err := OpenLedger(dir, "notes", func(n note) { folded = append(folded, n.Text) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	once(t, l, "b", "two")
	once(t, other, "c", "three")
	once(t, l, "b", "again")
	if err := l.View(func() {
		if got := strings.Join(folded, " "); got != "one two three" {
			t.Error(got)
		}
	}); err != nil {
		t.Fatal(err)
	}
}

func TestLedgerSyncs(t *testing.T) {
	l := openNotes(t, t.TempDir())
	once(t, l, "a", "one")
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
}

func FuzzLedgerDecodesWhatItEncodes(f *testing.F) {
	f.Add([]byte(line("a", "one")))
	f.Add([]byte(`{"key":"a","entry":{"text":"\ud800"}}`))
	f.Add([]byte(`{"KEY":"a","at":"9999-12-31T23:59:59.999999999+23:59","entry":{"Text":"x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := decodeRecord[note](text)
		if err != nil {
			return
		}
		encoded, err := encodeRecord(record)
		if err != nil {
			t.Fatalf("decoded %+v, which does not encode: %v", record, err)
		}
		again, err := decodeRecord[note](encoded)
		if err != nil {
			t.Fatal(err)
		}
		if again.Key != record.Key || again.Entry != record.Entry || !again.At.Equal(record.At) {
			t.Fatalf("%+v became %+v", record, again)
		}
	})
}

func FuzzLedgerOpensTheSameTwice(f *testing.F) {
	whole := line("a", "one") + line("b", "two")
	f.Add([]byte(whole))
	f.Add([]byte(whole[:len(whole)-3]))
	f.Add([]byte(whole + "\x00\x00"))
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := writeNotes(t, string(content))
		l, err := OpenLedger[note](dir, "notes", nil)
		var corrupt *CorruptError
		if errors.As(err, &corrupt) && corrupt.Line > 0 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		before := texts(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if after := texts(t, openNotes(t, dir)); after != before {
			t.Fatalf("%q became %q", before, after)
		}
	})
}

func BenchmarkLedgerOnce(b *testing.B) {
	l := openNotes(b, b.TempDir())
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		once(b, l, fmt.Sprint("0190f5a6-7b1c-7e2d-8f3a-", n), "a text about as long as a real entry has")
	}
}

func BenchmarkLedgerOnceFromManyGoroutines(b *testing.B) {
	l := openNotes(b, b.TempDir())
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			once(b, l, fmt.Sprint("0190f5a6-7b1c-7e2d-8f3a-", n.Add(1)), "a text about as long as a real entry has")
		}
	})
}
