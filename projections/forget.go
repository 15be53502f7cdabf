package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/shard"
)

// Forget takes sagas out of the read models, of the current generation and of the one under construction: they were
// purged from the streams. Sagas that are not there are passed over.
func Forget(ctx context.Context, rdb redis.UniversalClient, namespace string, keys ...saga.Key) error {
	g, err := generations(ctx, rdb, namespace)
	if err != nil {
		return err
	}
	for _, generation := range []string{g.Current, g.Next} {
		if generation == "" || generation == g.Next && g.nextForm.format > modelFormat {
			continue // what a newer build makes, it reads from the streams
		}
		m := models{rdb, modelKeys{namespace, generation}}
		if err := m.set(ctx, keys, func(saga.Key, *Summary) (*Summary, error) { return nil, nil }); err != nil {
			return fmt.Errorf("namespace %q: forgetting sagas: %w", namespace, err)
		}
	}
	return nil
}

// set replaces summaries by what becomes of them, whatever a projector writes at the same time.
func (m *models) set(ctx context.Context, keys []saga.Key, become func(saga.Key, *Summary) (*Summary, error)) error {
	for try := 1; ; try++ {
		found, err := m.summaries(ctx, keys)
		if err != nil {
			return err
		}
		byShard := map[shard.Shard]*shardWrite{}
		for _, key := range keys {
			was := found[key]
			now, err := become(key, was)
			if err != nil {
				return err
			}
			if was == nil && now == nil {
				continue
			}
			s := shard.Of(key.Definition, key.ID)
			if byShard[s] == nil {
				byShard[s] = &shardWrite{shard: s}
			}
			byShard[s].changes = append(byShard[s].changes, change{member(key), was, now})
		}
		var writes []shardWrite
		for _, w := range byShard {
			writes = append(writes, *w)
		}
		if len(writes) == 0 {
			return nil
		}
		if err = m.write(ctx, writes); !errors.Is(err, errChanged) || try == rereads {
			return err
		}
	}
}
