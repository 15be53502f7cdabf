package projections_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/engine"
	"github.com/jetsaga/jetsaga/testutil"
)

// obeys gives a server an order that it must obey.
func obeys(t testing.TB, server *redis.Client, args ...any) {
	t.Helper()
	if err := server.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(args, err)
	}
}

// inStep returns when a server has a replica that follows it.
func inStep(t testing.TB, server *redis.Client) {
	t.Helper()
	eventually(t, "a replica is in step", func() bool {
		n, err := server.Wait(t.Context(), 1, time.Second).Result()
		return err == nil && n == 1
	})
}

// replicated is a server with a replica, watched by a Sentinel.
func replicated(t testing.TB) (rdb redis.UniversalClient, kill func()) {
	t.Helper()
	master, replica := testutil.Redis(t, "--repl-diskless-sync-delay", "0"), testutil.Redis(t)
	host, port, err := net.SplitHostPort(master.Address())
	if err != nil {
		t.Fatal(err)
	}
	obeys(t, replica.Client(t), "REPLICAOF", host, port)
	inStep(t, master.Client(t))
	sentinel := testutil.RedisSentinel(t, master)
	watching := redis.NewSentinelClient(&redis.Options{Addr: sentinel})
	defer func() { _ = watching.Close() }()
	eventually(t, "the Sentinel knows the replica", func() bool {
		replicas, err := watching.Replicas(t.Context(), "mymaster").Result()
		return err == nil && len(replicas) == 1 && !strings.Contains(replicas[0]["flags"], "down")
	})
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "mymaster", SentinelAddrs: []string{sentinel}})
	t.Cleanup(func() { _ = client.Close() })
	return client, master.Kill
}

// clustered is a cluster of which one master has a replica.
func clustered(t testing.TB) (rdb redis.UniversalClient, kill func()) {
	t.Helper()
	cluster := testutil.RedisCluster(t)
	replica := testutil.Redis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0")
	node := replica.Client(t)
	nodes, err := cluster.ClusterShards(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	master := nodes[0].Nodes[0]
	of := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", strconv.FormatInt(master.Port, 10))})
	t.Cleanup(func() { _ = of.Close() })
	obeys(t, of, "CONFIG", "SET", "repl-diskless-sync-delay", "0")
	err = cluster.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
		return node.ConfigSet(ctx, "cluster-node-timeout", "1000").Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	obeys(t, node, "CLUSTER", "MEET", "127.0.0.1", master.Port)
	eventually(t, "the replica knows its master", func() bool { return node.ClusterReplicate(t.Context(), master.ID).Err() == nil })
	inStep(t, of)
	eventually(t, "every node knows the replica", func() bool {
		return cluster.ForEachMaster(t.Context(), func(ctx context.Context, node *redis.Client) error {
			list, err := node.ClusterNodes(ctx).Result()
			if err == nil && !strings.Contains(list, "slave "+master.ID) {
				err = errors.New("it does not know the replica")
			}
			return err
		}) == nil
	})
	info, err := of.Info(t.Context(), "server").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(info, "process_id:")
	var pid int
	if _, err := fmt.Sscan(after, &pid); err != nil {
		t.Fatal(err)
	}
	return cluster, func() {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

// Sagas, read models, views and guarded steps go on with the replica, which may lack the last writes.
func TestAReplicaTakesThePlaceOfAKilledServer(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		name  string
		begin func(testing.TB) (redis.UniversalClient, func())
	}{{"Sentinel", replicated}, {"cluster", clustered}} {
		t.Run(of.name, func(t *testing.T) {
			t.Parallel()
			rdb, kill := of.begin(t)
			s := siteWith(t, testutil.NATS(t).ClientURL(), rdb)
			done := &effects{done: map[string]int{}}
			def := careful(done)
			s.workerOf(engine.Config{Redis: rdb}, s.def, def)
			s.view(perCustomer(1))
			guarded := s.guarded(def)
			l := s.load(8, 0, 20*time.Millisecond)
			guarded.begin(0, 10)
			s.ended(50)
			s.hasView()
			kill()
			guarded.begin(10, 30)
			at := l.ended.Load()
			eventually(t, "sagas go on meanwhile", func() bool { return l.ended.Load() >= at+50 })
			guarded.ended(30)
			done.happened(t, 60)
			n := l.end()
			s.caughtUp()
			s.ended(n + 30)
			s.clean(n + 30)
			s.viewed(l)
		})
	}
}
