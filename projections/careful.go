package projections

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// careful is a client that a projector calls through a breaker. What is not here is called as it is: a projector does that only
// after a call that was.
type careful struct {
	redis.UniversalClient
	breaker *Breaker
}

// client gives the client that the projector calls.
func (conf ProjectorConfig) client() redis.UniversalClient {
	if conf.Breaker == nil {
		return conf.Redis
	}
	return careful{conf.Redis, conf.Breaker}
}

// through has a command carried out, unless the breaker is open; unsent makes one that was not.
func through[C redis.Cmder](ctx context.Context, b *Breaker, unsent func(context.Context, ...any) C, do func(context.Context) C) (cmd C) {
	called := false
	err := b.Call(ctx, func(ctx context.Context) error {
		called = true
		cmd = do(ctx)
		return cmd.Err()
	})
	if !called {
		cmd = unsent(ctx)
		cmd.SetErr(err)
	}
	return cmd
}

func (c careful) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return through(ctx, c.breaker, redis.NewCmd, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
	})
}

func (c careful) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return through(ctx, c.breaker, redis.NewCmd, func(ctx context.Context) *redis.Cmd {
		return c.UniversalClient.Eval(ctx, script, keys, args...)
	})
}

func (c careful) HGet(ctx context.Context, key, field string) *redis.StringCmd {
	return through(ctx, c.breaker, redis.NewStringCmd, func(ctx context.Context) *redis.StringCmd {
		return c.UniversalClient.HGet(ctx, key, field)
	})
}

func (c careful) HGetAll(ctx context.Context, key string) *redis.MapStringStringCmd {
	return through(ctx, c.breaker, redis.NewMapStringStringCmd, func(ctx context.Context) *redis.MapStringStringCmd {
		return c.UniversalClient.HGetAll(ctx, key)
	})
}

func (c careful) HMGet(ctx context.Context, key string, fields ...string) *redis.SliceCmd {
	return through(ctx, c.breaker, redis.NewSliceCmd, func(ctx context.Context) *redis.SliceCmd {
		return c.UniversalClient.HMGet(ctx, key, fields...)
	})
}

func (c careful) Pipeline() redis.Pipeliner {
	return carefulPipeline{c.UniversalClient.Pipeline(), c.breaker}
}

// carefulPipeline goes through a breaker as a whole.
type carefulPipeline struct {
	redis.Pipeliner
	breaker *Breaker
}

func (p carefulPipeline) Exec(ctx context.Context) (cmds []redis.Cmder, err error) {
	err = p.breaker.Call(ctx, func(ctx context.Context) error {
		cmds, err = p.Pipeliner.Exec(ctx)
		return err
	})
	return cmds, err
}
