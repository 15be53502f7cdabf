package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/jetsaga/jetsaga/saga"
	"github.com/jetsaga/jetsaga/streams"
)

// RetentionReport is what came of a look through the streams.
type RetentionReport struct {
	Sagas  int              `json:"sagas"`  // that there are, whatever their status
	Due    []RetentionCount `json:"due"`    // by definition and status
	Purged int              `json:"purged"` // of these; none by a plan
	// Held is how many were due, or cannot be read, and are kept all the same; Reasons tells why, of the first hundred.
	Held    int          `json:"held"`
	Reasons []HeldReason `json:"reasons,omitempty"`
	// Finished is the number of interrupted purges that this run completed.
	Finished int           `json:"finished"`
	Exported []string      `json:"exported,omitempty"` // the names of the files that sagas were exported to
	Took     time.Duration `json:"took_ns"`
}

// RetentionCount is a number of sagas of a definition that ended alike.
type RetentionCount struct {
	Definition string      `json:"definition"`
	Status     saga.Status `json:"status"`
	Sagas      int         `json:"sagas"`
}

// HeldReason tells why a saga is kept that is due.
type HeldReason struct {
	Saga   string `json:"saga"`
	Reason string `json:"reason"`
}

// reasonsTold is how many sagas a report tells of that are kept.
const reasonsTold = 100

// purger looks through the streams once.
type purger struct {
	c       *Client
	rules   *Retention
	meters  *retentionMeters
	plan    bool // nothing is to be done
	now     time.Time
	limiter *rate.Limiter
	report  RetentionReport
	due     map[RetentionCount]int

	behind []streams.Behind // of the stream that is looked through
	batch  []*streams.Holdings
	bytes  int // roughly, of the batch
	file   *exportFile
}

// A batch is purged when it is exported: so many sagas, or so many bytes of those that are kept in memory meanwhile.
const (
	batchSagas = 10_000
	batchBytes = 32 << 20
)

func (c *Client) retain(ctx context.Context, r *Retention, meters *retentionMeters, plan bool) (RetentionReport, error) {
	begun := time.Now()
	p := &purger{
		c: c, rules: r, meters: meters, plan: plan, now: begun.UTC(), due: map[RetentionCount]int{},
		limiter: rate.NewLimiter(rate.Limit(r.Rate), 1),
	}
	err := p.all(ctx)
	if p.file != nil {
		p.file.abort()
	}
	p.report.Due = []RetentionCount{}
	for count, sagas := range p.due {
		count.Sagas = sagas
		p.report.Due = append(p.report.Due, count)
	}
	slices.SortFunc(p.report.Due, func(a, b RetentionCount) int {
		return cmp.Or(cmp.Compare(a.Definition, b.Definition), cmp.Compare(a.Status, b.Status))
	})
	p.report.Took = time.Since(begun)
	if err == nil && !plan {
		meters.held(ctx, p.report.Held)
	}
	return p.report, err
}

func (p *purger) all(ctx context.Context) error {
	for _, stream := range p.c.ns.Streams() {
		if err := p.look(ctx, stream); err != nil {
			return err
		}
		err := p.c.ns.Survey(ctx, stream, func(s streams.Surveyed) error { return p.surveyed(ctx, stream, s) })
		if err != nil {
			return err
		}
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Whoever takes the streams as his source is mostly behind by what came this very moment, so it is looked a few times.
const (
	looks    = 5
	lookRest = 100 * time.Millisecond
)

// look finds out who has not read all of a stream.
func (p *purger) look(ctx context.Context, stream string) (err error) {
	for i := range looks {
		if p.behind, err = p.c.ns.Behind(ctx, stream); err != nil || len(p.behind) == 0 {
			return err
		}
		if i < looks-1 {
			if err := rest(ctx, lookRest); err != nil {
				return err
			}
		}
	}
	return nil
}

// hold keeps a saga that is due.
func (p *purger) hold(key saga.Key, reason string) {
	p.report.Held++
	if len(p.report.Reasons) < reasonsTold {
		p.report.Reasons = append(p.report.Reasons, HeldReason{key.String(), reason})
	}
}

// surveyed deals with one saga. The last commit tells whether it is worth a closer look, and what the leader has decides.
func (p *purger) surveyed(ctx context.Context, stream string, s streams.Surveyed) error {
	if s.Unfinished {
		return p.finish(ctx, s.Key)
	}
	p.report.Sagas++
	shortest, some := p.rules.shortest(s.Key.Definition)
	switch {
	case !some:
		return nil
	case s.Err != nil:
		p.hold(s.Key, s.Err.Error())
		return nil //nolint:nilerr // it is kept, and the rest goes on
	case !p.worthALook(s.Key, &s.Commit, shortest):
		return nil
	}
	h, err := p.c.ns.Examine(ctx, s.Key)
	switch {
	case unreadable(err):
		p.hold(s.Key, err.Error())
		return nil
	case err != nil:
		return err
	case !p.isDue(h):
		return nil
	}
	reason, err := p.needed(ctx, h)
	switch {
	case err != nil:
		return err
	case reason != "":
		p.hold(s.Key, reason)
		return nil
	}
	p.due[RetentionCount{Definition: s.Key.Definition, Status: h.Saga.Status}]++
	if p.plan {
		return nil
	}
	return p.add(ctx, stream, h)
}

// worthALook reports whether the last commit of a saga may be the end of one that is due.
func (p *purger) worthALook(key saga.Key, c *saga.Commit, shortest time.Duration) bool {
	keep := shortest
	switch status, ends := endOf(c); {
	case ends:
		var some bool
		if keep, some = p.rules.keep(key.Definition, status); !some {
			return false
		}
	case c.Snapshot != nil && !c.Snapshot.Ended():
		return false
	}
	return !p.now.Before(c.Time.Add(keep))
}

// endOf gives the status of the saga that a commit ends.
func endOf(c *saga.Commit) (status saga.Status, ends bool) {
	if len(c.Events) == 0 {
		return "", false
	}
	switch c.Events[len(c.Events)-1].(type) {
	case saga.SagaCompleted:
		return saga.StatusCompleted, true
	case saga.SagaCompensated:
		return saga.StatusCompensated, true
	case saga.SagaStuck:
		return saga.StatusStuck, true
	case saga.SagaTerminated:
		return saga.StatusTerminated, true
	default:
		return "", false
	}
}

// isDue reports whether a saga has ended long enough ago, and nothing has come to it since.
func (p *purger) isDue(h *streams.Holdings) bool {
	if h.Saga == nil || !h.Saga.Ended() || h.Pending() {
		return false
	}
	keep, some := p.rules.keep(h.Key.Definition, h.Saga.Status)
	return some && !p.now.Before(h.Saga.EndedAt.Add(keep)) && !p.now.Before(h.LastAt.Add(keep))
}

// needed tells what a saga is needed for that is due; nothing where it may go.
func (p *purger) needed(ctx context.Context, h *streams.Holdings) (reason string, err error) {
	if len(h.Saga.Outbox) > 0 {
		return "what it has emitted is not known to be published", nil
	}
	for _, b := range p.behind {
		if b.ReadTo < h.Last && (h.Emits || !b.OutboxOnly) {
			return b.Name + " has not read it", nil
		}
	}
	if reason, err = p.neededByParent(ctx, h.Saga.Parent); err != nil || reason != "" {
		return reason, err
	}
	return p.neededByChildren(ctx, h.Saga)
}

// ancestors is how far up parents are looked at.
const ancestors = 64

// neededByParent reports whether a saga above may still want to hear of this one's end, or to have it undone: until all
// sagas above have ended for good.
func (p *purger) neededByParent(ctx context.Context, parent *saga.Parent) (reason string, err error) {
	for range ancestors {
		if parent == nil {
			return "", nil
		}
		in, err := p.read(ctx, parent.Key)
		switch {
		case unreadable(err):
			return fmt.Sprintf("its parent %s cannot be read: %v", parent.Key, err), nil
		case err != nil:
			return "", err
		case in.Version == 0, in.Run != parent.Run: // purged, or run again: that run is over
			return "", nil
		case !in.Ended() || in.Status == saga.StatusStuck:
			return fmt.Sprintf("its parent %s is %s", parent.Key, in.Status), nil
		}
		parent = in.Parent
	}
	return "it has too many ancestors", nil
}

// neededByChildren reports whether a child may still send word of its end, which would come to nobody.
func (p *purger) neededByChildren(ctx context.Context, in *saga.Instance) (reason string, err error) {
	for _, block := range in.Blocks {
		if block.Child == nil || block.Child.Status != "" && !block.Child.Recalled {
			continue
		}
		ref := block.Child.Ref
		child, err := p.read(ctx, ref.Key)
		switch {
		case unreadable(err):
			return fmt.Sprintf("its child %s cannot be read: %v", ref.Key, err), nil
		case err != nil:
			return "", err
		case child.Run == ref.Run && child.Parent != nil && (!child.Ended() || child.Status == saga.StatusStuck):
			return fmt.Sprintf("its child %s is %s", ref.Key, child.Status), nil
		}
	}
	return "", nil
}

func (p *purger) read(ctx context.Context, key saga.Key) (*saga.Instance, error) {
	log, err := p.c.log.Load(ctx, key, saga.Latest)
	if err != nil {
		return nil, err
	}
	return saga.Fold(key, log.Commits)
}

// finish goes on with a purge that somebody has died over.
func (p *purger) finish(ctx context.Context, key saga.Key) error {
	h, err := p.c.ns.Examine(ctx, key)
	if err != nil || h.Stage != streams.StageBuried || p.plan {
		return err
	}
	if err := p.c.ns.Purge(ctx, h, p.rules.Remember); err != nil {
		return err
	}
	p.report.Finished++
	return nil
}

// add exports a saga, and puts it among those that are purged when the export is safe.
func (p *purger) add(ctx context.Context, stream string, h *streams.Holdings) error {
	if p.rules.Archive != nil {
		if p.file == nil {
			var err error
			if p.file, err = newExportFile(ctx, p.rules.Archive, p.c.ns.Name(), stream, p.now, len(p.report.Exported)); err != nil {
				return err
			}
		}
		if err := p.file.write(h); err != nil {
			return err
		}
	}
	p.bytes += h.Slim()
	p.batch = append(p.batch, h)
	if len(p.batch) >= batchSagas || p.bytes >= batchBytes || p.file == nil {
		return p.flush(ctx)
	}
	return nil
}

// flush purges the batch, once its export is safe.
func (p *purger) flush(ctx context.Context) error {
	if p.file != nil {
		file := p.file
		p.file = nil
		if err := file.commit(ctx); err != nil {
			return err
		}
		p.report.Exported = append(p.report.Exported, file.name)
	}
	for _, h := range p.batch {
		if err := p.limiter.Wait(ctx); err != nil {
			return err
		}
		err := p.c.ns.Purge(ctx, h, p.rules.Remember)
		if errors.Is(err, streams.ErrChanged) {
			p.hold(h.Key, err.Error())
			continue
		}
		if err != nil {
			return err
		}
		p.report.Purged++
		p.meters.purged(ctx, h.Key.Definition, h.Saga.Status)
	}
	p.batch, p.bytes = nil, 0
	return nil
}
