package testutil

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jetsaga/jetsaga/streams/embedded"
)

// clusterStart is how long a cluster may take to elect a leader.
const clusterStart = 30 * time.Second

// Cluster is a cluster of servers in the process.
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

// Restart starts the stopped server with that index on its store and its ports.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	c.start(i)
}

// AwaitReady returns when every running server is current with the cluster's leader.
func (c *Cluster) AwaitReady() {
	c.t.Helper()
	deadline := time.Now().Add(clusterStart)
	for i, s := range c.servers {
		for s != nil && !s.JetStreamReady() {
			if time.Now().After(deadline) {
				c.t.Fatalf("testutil: server %d of the cluster is not ready after %v", i, clusterStart)
			}
			<-time.After(10 * time.Millisecond) // the server offers no signal to wait for
		}
	}
}
