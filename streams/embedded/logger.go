package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
)

// logger hands the server's log on to slog. Debug and trace lines are off at the server.
//
// The server reports what keeps it from starting to its log alone, as fatal: its Start then returns as if all were
// well. So the first such line before the server has started is not logged but kept, for Start to return.
type logger struct {
	to      *slog.Logger
	min     slog.Level
	failed  chan error
	started atomic.Bool
}

func newLogger(to *slog.Logger) *logger {
	l := &logger{to: to, min: slog.LevelDebug, failed: make(chan error, 1)}
	if to == nil {
		l.to, l.min = slog.Default(), slog.LevelWarn
	}
	return l
}

func (l *logger) Noticef(format string, v ...any) { l.log(slog.LevelInfo, format, v) }
func (l *logger) Warnf(format string, v ...any)   { l.log(slog.LevelWarn, format, v) }
func (l *logger) Errorf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l *logger) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l *logger) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }

func (l *logger) Fatalf(format string, v ...any) {
	if !l.started.Load() {
		select {
		case l.failed <- newFailure(format, v):
			return
		default: // one is known already
		}
	}
	l.log(slog.LevelError, format, v)
}

func (l *logger) log(level slog.Level, format string, v []any) {
	if ctx := context.Background(); level >= l.min && l.to.Enabled(ctx, level) {
		l.to.Log(ctx, level, "nats-server: "+fmt.Sprintf(format, v...))
	}
}

// failure is a fatal line of the server's log, with the error that it tells of.
type failure struct {
	line  string
	cause error
}

func newFailure(format string, v []any) *failure {
	f := &failure{line: fmt.Sprintf(format, v...)}
	for _, arg := range v {
		if err, ok := arg.(error); ok {
			f.cause = err
		}
	}
	return f
}

func (f *failure) Error() string { return f.line }
func (f *failure) Unwrap() error { return f.cause }
