package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

var (
	// ErrRunning tells that Run was called twice, or Register after it.
	ErrRunning = errors.New("engine: has been run already")
	// ErrNothingRegistered tells that Run was called on an engine without a definition.
	ErrNothingRegistered = errors.New("engine: no definition is registered")
	// ErrConnectionClosed tells that Run has ended because its connection has, which does not come back. The sagas that were under
	// way go on with other workers.
	ErrConnectionClosed = errors.New("engine: the connection is closed for good: connect anew, with engine.ConnectOptions, and run another engine")
)

// Engine is a worker: it runs the sagas of the definitions registered with it. Any number of engines, in any number
// of processes, share the work; they are equal, and a saga whose worker dies goes on with another.
//
// Use: [New], [Engine.Register], [Engine.Run]. An Engine is run once.
type Engine struct {
	conf     Config
	registry *registry

	mu       sync.Mutex
	started  bool
	worker   *worker
	ready    chan struct{}
	stopped  chan struct{} // closed when Run has returned
	stop     context.CancelFunc
	draining bool
}

// New checks a configuration and gives an engine that does nothing yet. The error tells all that is wrong.
func New(conf Config) (*Engine, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Engine{
		conf: conf, registry: newRegistry(),
		ready: make(chan struct{}), stopped: make(chan struct{}),
	}, nil
}

// Register adds definitions, all of them or, with an error, none. Several versions of one definition may be
// registered, so that sagas begun under an older one can end. Call it before Run.
func (e *Engine) Register(defs ...saga.Runnable) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.started {
		return ErrRunning
	}
	return e.registry.add(defs)
}

// Run works until ctx ends or Stop is called, which drops what is under way for other workers to take up at once, or
// until Drain has finished it. It then gives nil. An error tells that it could not begin, see [streams.Ensure], or, as
// [ErrConnectionClosed], that it could not go on.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := e.begin(cancel); err != nil {
		return err
	}
	defer close(e.stopped)
	ns, err := streams.Ensure(ctx, e.conf.streams())
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	w, err := newWorker(e.conf, e.registry, ns) //nolint:contextcheck // a hook has no context: it is told of what has happened
	if err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	endProjector, err := project(ctx, e.conf, ns)
	if err != nil {
		w.stop()
		return err
	}
	defer endProjector()
	defer retain(ctx, e.conf, ns)()
	if e.publish(w) {
		w.drain()
	}
	select {
	case <-ctx.Done():
	case <-w.drained:
	case <-w.cut:
		if err = ErrConnectionClosed; ns.Conn().LastError() != nil {
			err = fmt.Errorf("%w (%w)", err, ns.Conn().LastError())
		}
	}
	w.stop()
	return err
}

func (e *Engine) begin(stop context.CancelFunc) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.started:
		return ErrRunning
	case len(e.registry.definitions) == 0:
		return ErrNothingRegistered
	}
	e.started, e.stop = true, stop
	return nil
}

// publish makes the worker known to Drain, and reports whether Drain was called before.
func (e *Engine) publish(w *worker) (draining bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.worker = w
	close(e.ready)
	return e.draining
}

// WorkerID gives the id under which the engine writes its commits, new with every engine that is run. It is empty
// before Ready.
func (e *Engine) WorkerID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.worker == nil {
		return ""
	}
	return e.worker.id
}

// Ready is closed when the engine takes commands.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// Drain takes no further commands, lets the sagas under way end or park, and returns when Run has. Should ctx end
// before, its error is returned and the engine goes on draining; Stop ends it.
func (e *Engine) Drain(ctx context.Context) error {
	e.mu.Lock()
	e.draining = true
	started, w := e.started, e.worker
	e.mu.Unlock()
	if !started {
		return nil
	}
	if w != nil {
		w.drain()
	}
	select {
	case <-e.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop drops what is under way: contexts of running handlers end, their results are not used, and the commands are
// given back for other workers to take up at once. It returns when Run has, which waits for handlers to return.
func (e *Engine) Stop() {
	e.mu.Lock()
	stop := e.stop
	e.mu.Unlock()
	if stop == nil {
		return
	}
	stop()
	<-e.stopped
}

// Client gives a client for the engine's namespace.
func (e *Engine) Client(ctx context.Context) (*Client, error) { return NewClient(ctx, e.conf) }
