package testutil

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// RedisServer is a redis-server in a process of its own, on the loopback interface. Its methods are for one goroutine.
type RedisServer struct {
	conf RedisConfig
	cmd  *exec.Cmd
}

// RedisConfig says how a [RedisServer] runs.
type RedisConfig struct {
	// Dir is where it keeps its data. Required.
	Dir string
	// Port is where it listens. Default: one that is free.
	Port int
	// Args are further arguments of redis-server, such as "--appendonly", "yes". Default: nothing is kept.
	Args []string
}

// redisPatience is how long a redis-server has to answer after its start.
const redisPatience = 20 * time.Second

// StartRedis starts a redis-server, which has to be installed, and returns when it answers. It runs until Kill, whatever
// becomes of ctx, which bounds the start.
func StartRedis(ctx context.Context, conf RedisConfig) (*RedisServer, error) {
	if conf.Port == 0 {
		port, err := freePort(ctx)
		if err != nil {
			return nil, err
		}
		conf.Port = port
	}
	s := &RedisServer{conf: conf}
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Start starts the server again, after Kill, on what it has kept.
func (s *RedisServer) Start(ctx context.Context) error {
	args := append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.conf.Port), "--dir", s.conf.Dir, "--save", ""}, s.conf.Args...)
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), "redis-server", args...) //nolint:gosec // the arguments are the test's own
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("testutil: redis-server: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := answers(ctx, s.Address()); err != nil {
		s.Kill()
		return fmt.Errorf("testutil: redis-server at %s: %w", s.Address(), err)
	}
	return nil
}

// answers returns when a Redis answers.
func answers(ctx context.Context, address string) error {
	rdb := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = rdb.Close() }()
	return poll(ctx, func() error {
		err := rdb.Ping(ctx).Err()
		var refused redis.Error // it answers: it wants a password, or is busy loading
		if errors.As(err, &refused) {
			return nil
		}
		return err
	})
}

// poll calls f until it succeeds or ctx ends, and gives the last error.
func poll(ctx context.Context, f func() error) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-ticker.C:
		}
	}
}

// freePort gives a port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	var conf net.ListenConfig
	l, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Address is the server's host and port.
func (s *RedisServer) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.conf.Port))
}

// URL is the server's address as a URL.
func (s *RedisServer) URL() string { return "redis://" + s.Address() + "/0" }

// PID is the process's id.
func (s *RedisServer) PID() int { return s.cmd.Process.Pid }

// Kill ends the server with SIGKILL. Start starts it again.
func (s *RedisServer) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Stop has the server stand still, with its connections open, until Continue.
func (s *RedisServer) Stop() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue ends Stop.
func (s *RedisServer) Continue() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Redis starts a redis-server that keeps what it acknowledges. It is gone when the test ends; without one installed, the
// test fails.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s, err := StartRedis(t.Context(), RedisConfig{Dir: t.TempDir(), Args: append([]string{"--appendonly", "yes"}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Client connects to the server, until the test ends.
func (s *RedisServer) Client(t testing.TB) *redis.Client {
	t.Helper()
	return closing(t, redis.NewClient(&redis.Options{Addr: s.Address()}))
}

func closing[C interface{ Close() error }](t testing.TB, c C) C {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// RedisCluster starts a Redis Cluster of three masters, in processes of their own, and connects to it until the test ends.
func RedisCluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	const nodes, slots = 3, 16384
	var addresses []string
	for i := range nodes {
		port, err := freePort(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if port > 55535 { // the cluster's bus takes the port 10000 above
			port -= 20000
		}
		s, err := StartRedis(t.Context(), RedisConfig{Dir: t.TempDir(), Port: port, Args: []string{
			"--cluster-enabled", "yes", "--cluster-node-timeout", "5000"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		addresses = append(addresses, s.Address())
		node := s.Client(t)
		if err := node.ClusterAddSlotsRange(t.Context(), i*slots/nodes, (i+1)*slots/nodes-1).Err(); err != nil {
			t.Fatal(err)
		}
		host, first, _ := net.SplitHostPort(addresses[0])
		if i > 0 {
			if err := node.ClusterMeet(t.Context(), host, first).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), redisPatience)
	defer cancel()
	for _, address := range addresses {
		node := closing(t, redis.NewClient(&redis.Options{Addr: address}))
		err := poll(ctx, func() error {
			info, err := node.ClusterInfo(ctx).Result()
			if err == nil && !clusterStands(info, nodes) {
				err = fmt.Errorf("the cluster does not stand yet: %s", info)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return closing(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses}))
}

// clusterStands reports whether a node sees all slots served and all nodes.
func clusterStands(info string, nodes int) bool {
	var state string
	var known int
	for line := range strings.Lines(info) {
		_, _ = fmt.Sscanf(line, "cluster_state:%s", &state)
		_, _ = fmt.Sscanf(line, "cluster_known_nodes:%d", &known)
	}
	return state == "ok" && known == nodes
}

// RedisSentinel starts a Sentinel that watches a server and its replicas, under the name "mymaster", and gives its address. It
// takes a server that has been silent for half a second for dead, and has a replica take its place. It runs until the test ends.
func RedisSentinel(t testing.TB, master *RedisServer) (address string) {
	t.Helper()
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "sentinel.conf") // it keeps there what it learns
	text := fmt.Sprintf("bind 127.0.0.1\nport %d\nsentinel monitor mymaster 127.0.0.1 %d 1\n"+
		"sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 2000\n", port, master.conf.Port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "redis-server", conf, "--sentinel") //nolint:gosec // a path of the test's own
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	ctx, cancel := context.WithTimeout(t.Context(), redisPatience)
	defer cancel()
	if err := answers(ctx, address); err != nil {
		t.Fatalf("testutil: sentinel at %s: %v", address, err)
	}
	return address
}

// MiniRedis starts a Redis that lives in this process: for what needs none installed, and for time that a test moves. It
// is gone when the test ends.
func MiniRedis(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	return miniredis.RunT(t)
}
