package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/jetsaga/jetsaga/engine"
)

// redisVariable is the environment's name for the address of Redis, which may hold a password.
const redisVariable = "REDIS_URL"

// redisDownError tells that Redis cannot be reached.
type redisDownError struct {
	where string
	err   error
}

func (e *redisDownError) Error() string {
	return fmt.Sprintf("cannot reach Redis at %s: %v", e.where, e.err)
}
func (e *redisDownError) Unwrap() error { return e.err }

// dialRedis connects to where the read models are. A URL with addr= names further nodes of a cluster,
// one with master_name= is of Sentinels.
func (a *app) dialRedis(ctx context.Context) (redis.UniversalClient, error) {
	address := a.redis
	if address == "" {
		address = os.Getenv(redisVariable)
	}
	if address == "" {
		return nil, usagef("where is Redis? Set --redis, or %s, to redis://host:6379/0", redisVariable)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, usagef("--redis, or %s, is no address such as redis://localhost:6379/0", redisVariable)
	}
	logging.Disable() // what fails is told once
	rdb, err := openRedis(u, address)
	if err != nil {
		return nil, usagef("--redis, or %s, does not suit: see docs/read-models.md for its form", redisVariable)
	}
	ctx, cancel := a.asking(ctx)
	defer cancel()
	if err := rdb.Ping(ctx).Err(); err != nil {
		_ = rdb.Close()
		return nil, &redisDownError{u.Host, err}
	}
	return rdb, nil
}

// openRedis gives a client for an address: of the master that Sentinels know by name, of a cluster, or of one server.
func openRedis(u *url.URL, address string) (redis.UniversalClient, error) {
	switch query := u.Query(); {
	case query.Has("master_name"):
		opts, err := redis.ParseFailoverURL(address)
		if err != nil {
			return nil, err
		}
		return redis.NewFailoverClient(opts), nil
	case query.Has("addr"):
		opts, err := redis.ParseClusterURL(address)
		if err != nil {
			return nil, err
		}
		return redis.NewClusterClient(opts), nil
	default:
		opts, err := redis.ParseURL(address)
		if err != nil {
			return nil, err
		}
		return redis.NewClient(opts), nil
	}
}

// modelled is a client with read models.
type modelled struct {
	*engine.Client
	rdb redis.UniversalClient
	nc  io.Closer
}

func (m *modelled) close() {
	_ = m.rdb.Close()
	_ = m.nc.Close()
}

// closer makes a connection's Close one that gives an error.
type closer func()

func (c closer) Close() error {
	c()
	return nil
}

// modelled connects to NATS and to Redis. The caller closes what it gives.
func (a *app) modelled(ctx context.Context, logger *slog.Logger) (*modelled, error) {
	rdb, err := a.dialRedis(ctx)
	if err != nil {
		return nil, err
	}
	c, nc, err := a.clientBy(ctx, func(ctx context.Context, conf engine.Config) (*engine.Client, error) {
		conf.Redis = rdb
		if logger != nil {
			conf.Logger = logger
		}
		return engine.OpenClient(ctx, conf)
	})
	if err != nil {
		_ = rdb.Close()
		return nil, err
	}
	return &modelled{c, rdb, closer(nc.Close)}, nil
}
