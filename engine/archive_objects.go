package engine

import (
	"context"
	"errors"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

// ObjectArchive keeps exports as objects of a JetStream object store. An object is there when it is stored as a whole, and
// as safe as the store's replicas are.
func ObjectArchive(store jetstream.ObjectStore) Archive { return objectArchive{store} }

type objectArchive struct{ store jetstream.ObjectStore }

// errAborted tells the store that the rest of an object will not come.
var errAborted = errors.New("the export was given up")

func (a objectArchive) Create(ctx context.Context, name string) (ArchiveFile, error) {
	r, w := io.Pipe()
	f := &objectFile{PipeWriter: w, stored: make(chan error, 1)}
	go func() {
		_, err := a.store.Put(ctx, jetstream.ObjectMeta{Name: name}, r)
		_ = r.CloseWithError(err) // whoever writes on hears of it
		f.stored <- err
	}()
	return f, nil
}

type objectFile struct {
	*io.PipeWriter
	stored chan error // once
}

func (f *objectFile) Commit(context.Context) error {
	if err := f.Close(); err != nil {
		return err
	}
	return <-f.stored
}

func (f *objectFile) Abort() {
	_ = f.CloseWithError(errAborted)
	<-f.stored //nolint:errcheck // it is errAborted
}
