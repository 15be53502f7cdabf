package main

import (
	"context"
	"fmt"
	"os"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// localRedis gives the Redis that --redis or the environment names; where they name none, one that lives in this process,
// listens on this machine only, and is empty: read models are built anew from the streams. Port 0 is a free one.
func (a *app) localRedis(ctx context.Context, port int) (rdb redis.UniversalClient, url string, stop func(), err error) {
	if a.redis != "" || os.Getenv(redisVariable) != "" {
		if rdb, err = a.dialRedis(ctx); err != nil {
			return nil, "", nil, err
		}
		return rdb, "", func() { _ = rdb.Close() }, nil
	}
	logging.Disable() // what fails is told once
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		return nil, "", nil, fmt.Errorf("starting Redis: %w; take another port with --redis-port, or name a Redis with --redis", err)
	}
	client := redis.NewClient(&redis.Options{Addr: m.Addr()})
	return client, "redis://" + m.Addr() + "/0", func() {
		_ = client.Close()
		m.Close()
	}, nil
}
