package engine

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestOfCallsThatGoOnFailingOneIsToldAtATime(t *testing.T) {
	var log bytes.Buffer
	w := &worker{log: slog.New(slog.NewTextHandler(&log, nil))}
	w.failing(time.Second, errors.New("too early to tell"))
	if log.Len() > 0 {
		t.Errorf("told of one that has only begun: %s", log.String())
	}
	for range 100 {
		w.failing(time.Minute, errors.New("no space left on device"))
	}
	if lines := strings.Count(log.String(), "no space left on device"); lines != 1 {
		t.Errorf("told %d times", lines)
	}
}
