package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/jetsaga/jetsaga/streams"
)

// syncSetting is how a server syncs what it has stored to the disk.
type syncSetting struct {
	Always   bool          `json:"always"`
	Interval time.Duration `json:"interval_ns"`
}

// readSync asks a server's monitoring port. Clients are not told, but for those of the system account.
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
	var answer struct {
		// Of nats-server's JSInfo, server/monitor.go.
		Config *struct {
			Interval time.Duration `json:"sync_interval"`
			Always   bool          `json:"sync_always"`
		} `json:"config"`
	}
	err = json.NewDecoder(response.Body).Decode(&answer)
	if err != nil || response.StatusCode != http.StatusOK || answer.Config == nil {
		return nil, &unreachableError{"at its monitoring port", fmt.Errorf("%s is not nats-server's: %s", u.Redacted(), response.Status)}
	}
	return &syncSetting{answer.Config.Always, answer.Config.Interval}, nil
}

// durability says in a sentence what can be lost. A sync that is not known is nil.
func durability(all []streams.StreamState, s *syncSetting) string {
	replicas := 0
	for _, stream := range all {
		if replicas == 0 || stream.Replicas < replicas {
			replicas = stream.Replicas
		}
	}
	if replicas > 1 {
		return fmt.Sprintf("%d replicas: a killed process loses nothing, nor does a power cut, unless it takes %d servers at once.",
			replicas, replicas/2+1)
	}
	switch {
	case s == nil:
		return "one replica: a killed process loses nothing; a power cut loses what was acknowledged since the server's last sync, which is up to " +
			"two minutes with nats-server's default, one second with sync_interval: 1s (recommended; sagactl dev and demo run with it) " +
			"and nothing with sync_interval: always. Clients are not told that setting: --monitor reads it."
	case s.Always:
		return "one replica, synced before each acknowledgement: neither a killed process nor a power cut loses anything that was acknowledged."
	case s.Interval > time.Second:
		return fmt.Sprintf("one replica, synced every %v: a killed process loses nothing; a power cut loses up to %v of what was acknowledged; "+
			"sync_interval: 1s costs nothing measurable.", s.Interval, s.Interval)
	default:
		return fmt.Sprintf("one replica, synced every %v: a killed process loses nothing; a power cut loses up to %v of what was acknowledged.",
			s.Interval, s.Interval)
	}
}
