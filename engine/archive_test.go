package engine_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
	"github.com/jetsaga/jetsaga/testutil"
)

// elsewhere gives a client of another namespace on the same server.
func (f *fleet) elsewhere(name string) *engine.Client {
	f.t.Helper()
	c, err := engine.NewClient(f.t.Context(), engine.Config{Conn: f.nc, Namespace: name, Logger: quiet()})
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// directory gives the files of a directory archive, by name. Those of a process that was killed over them are hidden.
func directory(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// objects gives the objects of an object archive, by name.
func objects(ctx context.Context, t testing.TB, store jetstream.ObjectStore) map[string][]byte {
	t.Helper()
	infos, err := store.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, info := range infos {
		if files[info.Name], err = store.GetBytes(ctx, info.Name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestWhatIsExportedIsImportedAsItWas(t *testing.T) {
	t.Run("directory", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "exports")
		exportsAndImports(t, newFleet(t), engine.DirectoryArchive(dir), func() map[string][]byte { return directory(t, dir) })
	})
	t.Run("object store", func(t *testing.T) {
		f := newFleet(t)
		store, err := f.client().Namespace().JetStream().CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "exports"})
		if err != nil {
			t.Fatal(err)
		}
		exportsAndImports(t, f, engine.ObjectArchive(store), func() map[string][]byte { return objects(t.Context(), t, store) })
	})
}

func exportsAndImports(t *testing.T, f *fleet, to engine.Archive, files func() map[string][]byte) {
	t.Helper()
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	ids := []string{"completed-1", "compensated-1"}
	travel(ctx, t, client, def, ids...)
	histories := map[string][]saga.Commit{}
	for _, id := range ids {
		var err error
		if histories[id], err = client.History(ctx, key(id)); err != nil {
			t.Fatal(err)
		}
	}
	report, err := client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}, Archive: to})
	if err != nil || report.Purged != 2 || len(report.Exported) == 0 {
		t.Fatalf("the report is %+v, %v", report, err)
	}
	exported := files()
	if len(exported) != len(report.Exported) {
		t.Errorf("there are %d files, and %d were reported", len(exported), len(report.Exported))
	}

	// Elsewhere, and where it was; and the same comes of it the second time.
	there := f.elsewhere("there")
	for i, c := range []*engine.Client{there, there, client, client} {
		var sum engine.Imported
		for _, name := range report.Exported {
			some, err := c.Import(ctx, bytes.NewReader(exported[name]), func(r engine.RefusedImport) { t.Error(r) })
			if err != nil {
				t.Fatal(err)
			}
			sum.Sagas, sum.Present = sum.Sagas+some.Sagas, sum.Present+some.Present
		}
		if want := (engine.Imported{Sagas: 2 - 2*(i%2), Present: 2 * (i % 2)}); sum != want {
			t.Errorf("import %d: %+v, want %+v", i, sum, want)
		}
		for _, id := range ids {
			if got, err := c.History(ctx, key(id)); err != nil || !reflect.DeepEqual(got, histories[id]) {
				t.Errorf("%s: its history is %+v, %v; want %+v", id, got, err, histories[id])
			}
		}
	}
	var known *engine.AlreadyStartedError
	if _, err := engine.For(client, def).Start(ctx, ids[0], trip{}); !errors.As(err, &known) || !known.PurgedAt.IsZero() {
		t.Errorf("a Start of an id that was imported: %v", err)
	}
	if _, err := engine.For(client, def).Start(ctx, ids[0], trip{Note: "completed"}, engine.OrAgain()); err != nil {
		t.Errorf("running it again: %v", err)
	}
	if in, err := client.Wait(ctx, key(ids[0])); err != nil || in.Version <= histories[ids[0]][len(histories[ids[0]])-1].Version {
		t.Errorf("run again: %+v, %v", in, err)
	}
}

// unsafeArchive cannot make its files safe.
type unsafeArchive struct{ aborted, committed int }

func (a *unsafeArchive) Create(context.Context, string) (engine.ArchiveFile, error) { return a, nil }

func (a *unsafeArchive) Write(b []byte) (int, error) { return len(b), nil }
func (a *unsafeArchive) Abort()                      { a.aborted++ }

func (a *unsafeArchive) Commit(context.Context) error {
	a.committed++
	return errors.New("the disk is full")
}

func TestWhatIsNotSafelyExportedIsNotPurged(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "completed-1")
	var archive unsafeArchive
	report, err := client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}, Archive: &archive})
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || report.Purged != 0 || archive.committed != 1 {
		t.Errorf("the report is %+v, %v, with %+v", report, err, archive)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}, Archive: engine.DirectoryArchive(file)}); err == nil {
		t.Error("a file was taken for a directory")
	}
	if in, err := client.Get(ctx, key("completed-1")); err != nil || in.Status != saga.StatusCompleted {
		t.Errorf("it is %+v, %v", in, err)
	}
}

// export gives lines as an export has them.
func export(t testing.TB, lines ...string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if _, err := io.WriteString(zip, strings.Join(lines, "\n")); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func TestAnImportRefusesBadLinesAndGoesOnWithTheRest(t *testing.T) {
	f := newFleet(t)
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx := withPatience(t)
	travel(ctx, t, client, def, "completed-1", "completed-2")
	dir := t.TempDir()
	if _, err := client.Retain(ctx, engine.Retention{Rules: []engine.RetentionRule{{Keep: soon}}, Archive: engine.DirectoryArchive(dir)}); err != nil {
		t.Fatal(err)
	}
	var good []string
	for _, file := range directory(t, dir) {
		zip, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(zip)
		if err != nil {
			t.Fatal(err)
		}
		good = append(good, strings.Split(strings.TrimSpace(string(text)), "\n")...)
	}
	// edited gives the line with one thing changed.
	edited := func(edit func(map[string]any)) string {
		var line map[string]any
		if err := json.Unmarshal([]byte(good[0]), &line); err != nil {
			t.Fatal(err)
		}
		edit(line)
		text, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	records := func(line map[string]any) []any { return line["records"].([]any) }
	lines := []struct{ line, want string }{
		{good[0], ""},
		{"{", "unexpected end of JSON"},
		{"{}", "no format number"},
		{edited(func(l map[string]any) { l["f"] = 2 }), "newer"},
		{edited(func(l map[string]any) { l["id"] = "a.b" }), "id"},
		{edited(func(l map[string]any) { records(l)[0].(map[string]any)["subject"] = "out" }), `subject "out"`},
		{edited(func(l map[string]any) { l["id"] = "cut"; l["records"] = records(l)[:2] }), streams.ErrNotEnded.Error()},
		{edited(func(l map[string]any) { l["id"] = "none"; l["records"] = nil }), streams.ErrNotEnded.Error()},
		{edited(func(l map[string]any) { records(l)[1].(map[string]any)["data"] = "e30=" }), "version"},
		{good[1], ""},
		{good[1], ""},
	}
	var file []string
	for _, l := range lines {
		file = append(file, l.line)
	}
	there := f.elsewhere("there")
	got := map[int]error{}
	result, err := there.Import(ctx, export(t, file...), func(r engine.RefusedImport) { got[r.Line] = r.Err })
	if want := (engine.Imported{Sagas: 2, Present: 1, Refused: 8}); err != nil || result != want {
		t.Errorf("imported: %+v, %v; want %+v", result, err, want)
	}
	for i, l := range lines {
		if err := got[i+1]; (err != nil) != (l.want != "") || err != nil && !strings.Contains(err.Error(), l.want) {
			t.Errorf("line %d: %v, want %q", i+1, err, l.want)
		}
	}

	if _, err := there.Import(ctx, strings.NewReader("no export"), nil); err == nil || !strings.Contains(err.Error(), "is not an export") {
		t.Errorf("a file that is no export: %v", err)
	}
	short := export(t, good...)
	short.Truncate(short.Len() - 12)
	if _, err := there.Import(ctx, short, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that ends early: %v", err)
	}
}

// purger is the role of a process that exports and purges what is due, again and again: its arguments are the server and
// the directory to export to.
func purger(ctx context.Context, args []string) error {
	nc, err := nats.Connect(args[0], engine.ConnectOptions()...)
	if err != nil {
		return err
	}
	defer nc.Close()
	c, err := engine.NewClient(ctx, engine.Config{Conn: nc, Logger: quiet()})
	if err != nil {
		return err
	}
	fmt.Println("purging")
	for ctx.Err() == nil {
		_, err := c.Retain(ctx, engine.Retention{
			Rules: []engine.RetentionRule{{Keep: soon}}, Archive: engine.DirectoryArchive(args[1]), Rate: 2000})
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

func TestKilledPurgersLoseNoSagaAndLeaveNoneHalfPurged(t *testing.T) {
	kills, sagas := 4, 200
	if long {
		kills, sagas = 20, 5000
	}
	server := testutil.NATS(t)
	f := &fleet{t, testutil.Connect(t, server, engine.ConnectOptions()...)}
	def := fickle(t)
	f.engine(engine.Config{}, def)
	client := f.client()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	dir := t.TempDir()
	trips := engine.For(client, def)
	var ids []string
	for kill := range kills {
		p := testutil.StartProcess(t, "purger", server.ClientURL(), dir)
		p.WaitLine("purging")
		for range sagas / kills {
			id := fmt.Sprint("completed-", len(ids))
			ids = append(ids, id)
			if _, err := trips.Start(ctx, id, trip{Note: "completed"}); err != nil {
				t.Fatal(err)
			}
		}
		rest(time.Duration(kill%4) * 10 * time.Millisecond)
		p.Kill()
	}
	for _, id := range ids {
		if in, err := client.Wait(ctx, key(id)); err != nil && !errors.Is(err, engine.ErrNotFound) {
			t.Fatal(in, err)
		}
	}
	for done := false; !done; {
		report, err := client.Retain(ctx, engine.Retention{
			Rules: []engine.RetentionRule{{Keep: soon}}, Archive: engine.DirectoryArchive(dir), Rate: 10_000})
		if err != nil {
			t.Fatal(err)
		}
		done = report.Sagas == report.Purged && report.Finished == 0
	}
	ns := client.Namespace()
	for _, id := range ids {
		if h, err := ns.Examine(ctx, key(id)); err != nil || h.Stage != streams.StageGone {
			t.Fatalf("%s is left half purged: %+v, %v", id, h, err)
		}
		if err := ns.Start(ctx, key(id), saga.Start{Run: "r-new"}, 0); !errors.Is(err, streams.ErrExists) {
			t.Errorf("%s is free: %v", id, err)
		}
	}
	there := f.elsewhere("there")
	var result engine.Imported
	for name, file := range directory(t, dir) {
		some, err := there.Import(ctx, bytes.NewReader(file), func(r engine.RefusedImport) { t.Error(name, r) })
		if err != nil {
			t.Fatal(name, err)
		}
		result.Sagas += some.Sagas
	}
	if result.Sagas != len(ids) {
		t.Errorf("%d of %d sagas are in the exports", result.Sagas, len(ids))
	}
	t.Logf("%d sagas purged under %d kills", len(ids), kills)
}
