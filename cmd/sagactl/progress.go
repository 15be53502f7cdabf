package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// progress shows how far a demo is: on a terminal a bar that is drawn anew, elsewhere a line now and then.
type progress struct {
	to       io.Writer
	total    int
	terminal bool
	shown    bool
	last     time.Time
	began    time.Time
}

// newProgress shows nothing when off.
func newProgress(to io.Writer, total int, on bool) *progress {
	p := &progress{to: io.Discard, total: total, began: time.Now()}
	if !on {
		return p
	}
	p.to = to
	if f, ok := to.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// follow shows the counts until ctx ends.
func (p *progress) follow(ctx context.Context, started, ended *atomic.Int64) {
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.show(int(started.Load()), int(ended.Load()))
		}
	}
}

func (p *progress) show(started, ended int) {
	const width, lineEvery = 40, 2 * time.Second
	now := time.Now()
	if p.terminal {
		full := width * min(ended, p.total) / p.total
		_, _ = fmt.Fprintf(p.to, "\r[%s%s] %d started, %d of %d ended ", strings.Repeat("█", full), strings.Repeat("·", width-full),
			started, ended, p.total)
		p.shown = true
		return
	}
	if now.Sub(p.last) >= lineEvery {
		p.last = now
		_, _ = fmt.Fprintf(p.to, "%d started, %d of %d ended\n", started, ended, p.total)
	}
}

// close ends the bar's line.
func (p *progress) close() {
	if p.shown {
		_, _ = fmt.Fprintf(p.to, "\r%s\r", strings.Repeat(" ", 100))
	}
}
