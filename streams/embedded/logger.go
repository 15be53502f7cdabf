package embedded

import (
	"context"
	"fmt"
	"log/slog"
)

// logger hands the server's log on to slog. Debug and trace lines are off at the server.
type logger struct{ to *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log(slog.LevelInfo, format, v) }
func (l logger) Warnf(format string, v ...any)   { l.log(slog.LevelWarn, format, v) }
func (l logger) Errorf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l logger) Fatalf(format string, v ...any)  { l.log(slog.LevelError, format, v) }
func (l logger) Debugf(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }
func (l logger) Tracef(format string, v ...any)  { l.log(slog.LevelDebug, format, v) }

func (l logger) log(level slog.Level, format string, v []any) {
	if ctx := context.Background(); l.to.Enabled(ctx, level) {
		l.to.Log(ctx, level, "nats-server: "+fmt.Sprintf(format, v...))
	}
}
