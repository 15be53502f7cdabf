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

// follow shows the count of orders that have ended, whichever run ended them, until ctx ends.
func (p *progress) follow(ctx context.Context, ended *atomic.Int64) {
	every := 2 * time.Second
	if p.terminal {
		every = 100 * time.Millisecond
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			p.show(int(ended.Load()))
		}
	}
}

func (p *progress) show(ended int) {
	const width = 40
	text := fmt.Sprintf("%d of %d orders ended, %v", ended, p.total, time.Since(p.began).Round(100*time.Millisecond))
	if !p.terminal {
		_, _ = fmt.Fprintln(p.to, text)
		return
	}
	full := width * ended / p.total
	_, _ = fmt.Fprintf(p.to, "\r[%s%s] %s ", strings.Repeat("█", full), strings.Repeat("·", width-full), text)
}

// close takes the bar away.
func (p *progress) close() {
	if p.terminal {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K") // ECMA-48: erase to the end of the line
	}
}
