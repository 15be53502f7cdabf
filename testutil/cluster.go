package testutil

import (
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

// clusterStart is how long a cluster may take to elect a leader. The first comes within a second, as servers that know
// of no leader do not wait; after a leader has gone, elections have been seen to take ten.
const clusterStart = 30 * time.Second

// Cluster is a cluster of servers in the process. It belongs to the goroutine of its test.
//
// A stream is made when a majority has it. A server that is stopped before it has it, too, leaves a goroutine behind
// (nats-server 2.15: the log of a raft group that could not be started is not closed). A test that looks for leaks
// waits until the replicas of what it made are current.
type Cluster struct {
	t       testing.TB
	confs   []embedded.Config
	servers []*embedded.Server
}

// NATSCluster starts n servers that form a cluster with JetStream, and returns when it is ready. It is gone when the
// test ends.
func NATSCluster(t testing.TB, n int) *Cluster {
	t.Helper()
	c := &Cluster{t: t, servers: make([]*embedded.Server, n)}
	ports := freePorts(t, 2*n)
	routes := make([]string, n)
	for i := range n {
		routes[i] = fmt.Sprintf("127.0.0.1:%d", ports[i])
	}
	for i := range n {
		c.confs = append(c.confs, embedded.Config{
			Name: fmt.Sprintf("n%d", i+1), StoreDir: t.TempDir(), Port: ports[n+i],
			Cluster: &embedded.Cluster{Name: "test", Port: ports[i], Routes: routes},
			Logger:  slog.New(slog.DiscardHandler), // it warns of each server that is not up yet, or no longer
		})
	}
	t.Cleanup(func() {
		for i := range c.servers {
			c.Stop(i)
		}
	})
	for i := range n {
		c.start(i)
	}
	c.AwaitReady()
	return c
}

// freePorts gives ports that were free a moment ago.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatalf("testutil: %v", err)
		}
		defer func() { _ = l.Close() }() //nolint:gocritic // held until all are known, so that none is given twice
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

func (c *Cluster) start(i int) {
	c.t.Helper()
	s, err := embedded.Start(c.t.Context(), c.confs[i])
	if err != nil {
		c.t.Fatalf("testutil: server %d of the cluster: %v", i, err)
	}
	c.servers[i] = s
}

// ClientURL gives the URLs of all servers, for a connection that can move between them.
func (c *Cluster) ClientURL() string {
	var urls []string
	for _, conf := range c.confs {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", conf.Port))
	}
	return strings.Join(urls, ",")
}

// Server gives the server with that index, nil while it is stopped.
func (c *Cluster) Server(i int) *embedded.Server { return c.servers[i] }

// Stop stops the server with that index. Its store stays.
func (c *Cluster) Stop(i int) {
	if c.servers[i] != nil {
		c.servers[i].Stop()
		c.servers[i] = nil
	}
}

// Restart starts the stopped server with that index on its store and its ports. The others take a moment to notice:
// see [Cluster.AwaitReady].
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.start(i)
}

// Leader gives the index of the running server that leads JetStream, -1 while there is none.
func (c *Cluster) Leader() int {
	return slices.IndexFunc(c.servers, func(s *embedded.Server) bool { return s != nil && s.JetStreamPeers() > 0 })
}

// AwaitReady returns when streams can be made on every running server: one of them leads, it counts all of them as up,
// and each is current. The test fails if they take too long, or are too few ever to elect a leader.
func (c *Cluster) AwaitReady() {
	c.t.Helper()
	if n := c.running(); 2*n <= len(c.servers) {
		c.t.Fatalf("testutil: %d of the cluster's %d servers are running, which is no majority", n, len(c.servers))
	}
	for deadline := time.Now().Add(clusterStart); !c.ready(); {
		if time.Now().After(deadline) {
			c.t.Fatalf("testutil: the cluster is not ready after %v; its leader is %d", clusterStart, c.Leader())
		}
		<-time.After(10 * time.Millisecond) // the server offers no signal to wait for
	}
}

func (c *Cluster) running() int {
	n := 0
	for _, s := range c.servers {
		if s != nil {
			n++
		}
	}
	return n
}

// ready asks the leader, too: the others believe themselves current for seconds after it has gone, and a server that
// has just come back is current before the leader would place anything on it.
func (c *Cluster) ready() bool {
	for _, s := range c.servers {
		if s != nil && !s.JetStreamReady() {
			return false
		}
	}
	leader := c.Leader()
	return leader >= 0 && c.servers[leader].JetStreamPeers() == c.running()
}
