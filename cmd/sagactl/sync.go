package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/jetsaga/jetsaga/streams"
)

// syncSetting is how a server syncs what it has stored to the disk.
type syncSetting struct {
	Always   bool          `json:"always"`
	Interval time.Duration `json:"interval_ns"`
}

// jszOptions have a server's answer tell its settings.
type jszOptions struct {
	Config bool `json:"config"`
}

// jszAnswer is what is of interest of nats-server's JSInfo, server/monitor.go.
type jszAnswer struct {
	Config *struct {
		Interval time.Duration `json:"sync_interval"`
		Always   bool          `json:"sync_always"`
	} `json:"config"`
}

func (a jszAnswer) sync() *syncSetting {
	if a.Config == nil {
		return nil
	}
	return &syncSetting{a.Config.Always, a.Config.Interval}
}

// syncPatience bounds the wait for a server that may not be asked: where the subject is forbidden, nobody says so.
const syncPatience = time.Second

// askSync asks the server that is connected to. It gives nil where that tells none but its system account: embedded
// servers tell everybody, others those to whom the system account exports it.
func askSync(ctx context.Context, nc *nats.Conn) (*syncSetting, error) {
	question, err := json.Marshal(jszOptions{Config: true})
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	m, err := nc.RequestWithContext(asking, "$SYS.REQ.SERVER."+nc.ConnectedServerId()+".JSZ", question)
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil, nil //nolint:nilnil // not known is an answer
	case err != nil:
		return nil, err
	}
	var answer struct {
		Data jszAnswer `json:"data"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, &unreachableError{"for its settings", err}
	}
	return answer.Data.sync(), nil
}

// readSync asks a server's monitoring port.
func readSync(ctx context.Context, monitor string) (*syncSetting, error) {
	u, err := url.Parse(monitor)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usagef("--monitor is not a URL such as http://127.0.0.1:8222")
	}
	u = u.JoinPath("jsz")
	u.RawQuery = "config=true"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, usagef("--monitor: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, &unreachableError{"at its monitoring port", err}
	}
	defer func() { _ = response.Body.Close() }()
	defer http.DefaultClient.CloseIdleConnections()
	var answer jszAnswer
	err = json.NewDecoder(response.Body).Decode(&answer)
	if err != nil || response.StatusCode != http.StatusOK || answer.Config == nil {
		return nil, &unreachableError{"at its monitoring port", fmt.Errorf("%s is not nats-server's: %s", u.Redacted(), response.Status)}
	}
	return answer.sync(), nil
}

// durability says in a sentence what can be lost. A sync that is not known is nil.
func durability(all []streams.StreamState, s *syncSetting) string {
	replicas := 0
	for _, stream := range all {
		if replicas == 0 || stream.Replicas < replicas {
			replicas = stream.Replicas
		}
	}
	switch {
	case replicas > 1:
		return fmt.Sprintf("%d replicas: neither a killed process nor a power cut loses anything, unless the power goes at %d servers at once.",
			replicas, replicas/2+1)
	case s == nil:
		return "one replica: a killed process loses nothing, and a power cut loses up to the server's sync_interval (2m0s by default; " +
			"--monitor reads it) of what was acknowledged."
	case s.Always:
		return "one replica, synced before each acknowledgement: neither a killed process nor a power cut loses anything that was acknowledged."
	case s.Interval > time.Second:
		return fmt.Sprintf("one replica, synced every %v: a killed process loses nothing, and a power cut loses up to %v of what was acknowledged; "+
			"sync_interval: 1s costs nothing measurable.", s.Interval, s.Interval)
	default:
		return fmt.Sprintf("one replica, synced every %v: a killed process loses nothing, and a power cut loses up to %v of what was acknowledged.",
			s.Interval, s.Interval)
	}
}
