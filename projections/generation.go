package projections

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// modelFormat is the number of the form that read models have. A projector builds new ones beside those of a lower one, and
// leaves those of a higher one alone. Until the new ones are built, readers read those of the lower one: whoever raises
// it has to see to it that they can.
const modelFormat = 1

// form is by what rules a generation is made.
type form struct {
	format  int // of the keys
	version int // of the view; 0 for the sagas' read models
}

// NotReadyError tells that there are no read models to answer from: they have not been built yet, or are built anew
// after they were lost.
type NotReadyError struct {
	Namespace string
	Building  bool // a projector is at it
}

func (e *NotReadyError) Error() string {
	if e.Building {
		return fmt.Sprintf("namespace %q: its read models are being built; ask again soon", e.Namespace)
	}
	return fmt.Sprintf("namespace %q: Redis has no read models of it; run a projector", e.Namespace)
}

// ErrNewer tells that a newer build has written the read models.
var ErrNewer = errors.New("the read models were written by a newer build; run that one")

// Generations says which read models there are.
type Generations struct {
	Epoch   string `json:"epoch,omitempty"`   // of the streams that they were made of
	Current string `json:"current,omitempty"` // what readers read; empty while there is nothing to read
	Next    string `json:"next,omitempty"`    // what is being built to take its place
	// Began is when the next was begun, and Why what for.
	Began time.Time `json:"began,omitzero"`
	Why   string    `json:"why,omitempty"`

	currentForm, nextForm form
}

// generations reads which read models there are. The error is [ErrNewer] where readers of this build cannot read them.
func generations(ctx context.Context, rdb redis.UniversalClient, namespace string) (Generations, error) {
	return generationsAt(ctx, rdb, metaKey(namespace))
}

// generationsAt reads a marker for a reader.
func generationsAt(ctx context.Context, rdb redis.UniversalClient, marker string) (Generations, error) {
	g, err := readMarker(ctx, rdb, marker)
	if err == nil && g.Current != "" && g.currentForm.format > modelFormat {
		err = fmt.Errorf("%s: %w", marker, ErrNewer)
	}
	return g, err
}

// readMarker reads a marker, whatever form the generations have.
func readMarker(ctx context.Context, rdb redis.UniversalClient, marker string) (Generations, error) {
	fields, err := rdb.HGetAll(ctx, marker).Result()
	if err != nil {
		return Generations{}, fmt.Errorf("reading %s: %w", marker, err)
	}
	g := Generations{Epoch: fields["epoch"], Current: fields["current"], Next: fields["next"], Why: fields["why"]}
	if ms, err := strconv.ParseInt(fields["began"], 10, 64); err == nil {
		g.Began = time.UnixMilli(ms).UTC()
	}
	number := func(field string) int {
		n, err := strconv.Atoi(fields[field])
		if err != nil {
			return 0
		}
		return n
	}
	g.nextForm = form{number("format"), number("version")}
	if g.currentForm = g.nextForm; fields["current_format"] != "" {
		g.currentForm = form{number("current_format"), number("current_version")}
	}
	return g, nil
}

// newGeneration names a generation that has not been before. Names rise: the scripts see to it where the clock of who asks is behind.
func newGeneration() string {
	const chance = 36 * 36 * 36
	//nolint:gosec // nobody gains from guessing it
	return strconv.FormatInt(time.Now().UnixMilli(), 36) + "-" + strconv.FormatInt(rand.Int64N(chance), 36)
}

// digest makes one name of the names of all streams.
func digest(epoch []string) string {
	h := fnv.New128a()
	for _, stream := range epoch {
		_, _ = io.WriteString(h, stream+"\n") // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ensureScript begins a generation where there is none, or where the models are of other streams or of an older form.
// A wiped Redis has no marker, and one that was restored from elsewhere a foreign one. The marker's form is that of the
// next generation, or of the current one where there is no next; the current one's has fields of its own where it is older.
// Of the same streams, a current generation of an older form stays until the next takes its place. What is of a newer form is
// left alone. The epoch is that of the first stream, by which alone some builds go; a marker of theirs says nothing of the other
// streams, and is believed.
//
// KEYS: the marker. ARGV: epoch, format, version, name of a new generation, now in milliseconds, digest of all streams.
var ensureScript = redis.NewScript(`
local have = redis.call('HMGET', KEYS[1], 'epoch', 'format', 'version', 'current', 'next', 'current_format', 'streams')
local same = have[1] == ARGV[1] and (not have[7] or have[7] == ARGV[6])
local format, version = tonumber(have[2] or '0'), tonumber(have[3] or '0')
local newer = format - tonumber(ARGV[2])
if newer == 0 then newer = version - tonumber(ARGV[3]) end
if newer > 0 then return 0 end
local why = ''
if not have[4] and not have[5] then why = 'there were none'
elseif not same then why = 'those there were are of other streams'
elseif newer < 0 then why = 'those there were are of an older form'
else
  if not have[7] then redis.call('HSET', KEYS[1], 'streams', ARGV[6]) end
  return 0
end
if have[4] and same then
  if not have[6] then redis.call('HSET', KEYS[1], 'current_format', format, 'current_version', version) end
else
  redis.call('DEL', KEYS[1])
end
local name = ARGV[4]
if have[4] and name <= have[4] then name = have[4] .. '0' end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'format', ARGV[2], 'version', ARGV[3],
  'streams', ARGV[6], 'next', name, 'began', ARGV[5], 'why', why)
return 1
`)

// rebuildScript begins a generation beside the current one, unless one is under construction that is not to be replaced.
//
// KEYS: the marker. ARGV: name of a new generation, now in milliseconds, why, the one that is to be replaced or empty.
var rebuildScript = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return '' end
local next = redis.call('HGET', KEYS[1], 'next')
if next and next ~= ARGV[4] then return next end
local name, current = ARGV[1], redis.call('HGET', KEYS[1], 'current')
if current and name <= current then name = current .. '0' end
if next and name <= next then name = next .. '0' end
redis.call('HSET', KEYS[1], 'next', name, 'began', ARGV[2], 'why', ARGV[3])
return name
`)

// switchScript makes the generation under construction the current one.
//
// KEYS: the marker. ARGV: the generation.
var switchScript = redis.NewScript(`
if redis.call('HGET', KEYS[1], 'next') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'current', ARGV[1])
redis.call('HDEL', KEYS[1], 'next', 'began', 'why', 'current_format', 'current_version')
return 1
`)

// Rebuild asks for the read models of a namespace to be built anew: a running projector builds a new generation beside
// the current one and switches to it when it has caught up; readers see one or the other. It gives the generation's
// name; one that is under construction already is not begun again.
func Rebuild(ctx context.Context, rdb redis.UniversalClient, namespace, why string) (string, error) {
	return rebuildAt(ctx, rdb, metaKey(namespace), namespace, why, "")
}

func rebuildAt(ctx context.Context, rdb redis.UniversalClient, marker, namespace, why, replaced string) (string, error) {
	next, err := rebuildScript.Run(ctx, rdb, []string{marker}, newGeneration(), time.Now().UnixMilli(), why, replaced).Text()
	if err != nil {
		return "", fmt.Errorf("%s: asking for a rebuild: %w", marker, err)
	}
	if next == "" {
		return "", &NotReadyError{Namespace: namespace}
	}
	return next, nil
}

// sweep removes the keys of generations that are not to be kept.
func sweep(ctx context.Context, rdb redis.UniversalClient, namespace string, keep func(generation string) bool) (removed int, err error) {
	var unlinked atomic.Int64 // a cluster's nodes are swept at once
	err = scanKeys(ctx, rdb, modelPattern(namespace), func(node *redis.Client, keys []string) error {
		pipe := node.Pipeline()
		for _, key := range keys {
			if generation, ok := generationOf(namespace, key); ok && !keep(generation) {
				pipe.Unlink(ctx, key)
			}
		}
		if pipe.Len() == 0 {
			return nil
		}
		unlinked.Add(int64(pipe.Len()))
		_, err := pipe.Exec(ctx)
		return err
	})
	return int(unlinked.Load()), err
}

// scanKeys calls see with the keys that match a pattern, part by part and one part after another. A key may come twice.
func scanKeys(ctx context.Context, rdb redis.UniversalClient, pattern string, see func(node *redis.Client, keys []string) error) (err error) {
	var mu sync.Mutex
	each := func(ctx context.Context, node *redis.Client) error {
		const count = 1000
		for cursor := uint64(0); ; {
			keys, next, err := node.Scan(ctx, cursor, pattern, count).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			err = see(node, keys)
			mu.Unlock()
			if cursor = next; err != nil || cursor == 0 {
				return err
			}
		}
	}
	switch client := rdb.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, each)
	case *redis.Client:
		err = each(ctx, client)
	default:
		err = fmt.Errorf("a %T cannot be scanned", rdb)
	}
	if err != nil {
		return fmt.Errorf("looking for the keys %s: %w", pattern, err)
	}
	return nil
}
