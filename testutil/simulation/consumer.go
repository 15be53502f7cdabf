package simulation

import (
	"slices"
	"time"

	"github.com/jetsaga/jetsaga/saga"
)

// ackWait is how long the server waits for a sign of life before it delivers a command again.
const ackWait = 750 * time.Millisecond

// consumer is the virtual pull consumer: it delivers commands at least once, to any worker with a free slot, and
// again when there was no sign of life. As with JetStream, an answer counts whichever delivery it is for.
type consumer struct {
	w            *world
	ready        []*message // to be delivered
	messages     []*message // ever stored
	doubtfulTill time.Duration
}

// message is a stored command.
type message struct {
	subject    *subject
	sequence   uint64
	command    saga.Command
	data       []byte // the command as stored
	deliveries uint64
	forgotten  bool // the server may have forgotten deliveries
	watch      int  // counts deadlines, of which the last one counts
	holders    []*activation
	answered   answer
	answeredAt time.Duration
	reason     error // of a rejection
}

// answer is how a command was taken off the consumer.
type answer int

const (
	unanswered answer = iota
	acknowledged
	rejected
)

// offer stores a command and has it delivered.
func (c *consumer) offer(s *subject, cmd saga.Command) *message {
	data, err := saga.EncodeCommand(cmd)
	if err != nil {
		panic(err)
	}
	m := &message{subject: s, sequence: uint64(len(c.messages) + 1), command: cmd, data: data}
	c.messages = append(c.messages, m)
	c.requeue(m)
	return m
}

func (c *consumer) requeue(m *message) {
	c.ready = append(c.ready, m)
	c.w.after(c.w.latency(), c.pump)
}

// pump delivers what is ready to workers with free slots. Workers that stand still have asked for commands too,
// and get some.
func (c *consumer) pump() {
	for len(c.ready) > 0 {
		var free []*worker
		for _, wk := range c.w.workers {
			if wk.alive && wk.taken < wk.slots {
				free = append(free, wk)
			}
		}
		if len(free) == 0 {
			return
		}
		i := c.w.rng.IntN(min(len(c.ready), 3))
		m := c.ready[i]
		c.ready = slices.Delete(c.ready, i, i+1)
		c.deliver(m, pick(c.w.rng, free...))
	}
}

func (c *consumer) deliver(m *message, wk *worker) {
	m.deliveries++
	c.expectAnswer(m, ackWait)
	wk.taken++
	count, doubtful, incarnation := m.deliveries, m.forgotten || c.w.now < c.doubtfulTill, wk.incarnation
	if c.w.conf.Broken == NoRedelivery {
		m.watch++
	}
	c.w.after(c.w.latency(), func() { wk.receive(m, count, doubtful, incarnation) })
}

// expectAnswer has the command delivered again unless there is a sign of life within d.
func (c *consumer) expectAnswer(m *message, d time.Duration) {
	m.watch++
	watch := m.watch
	c.w.after(d, func() { c.expire(m, watch) })
}

// expire is called when no answer came in time. Signs of life are not events of their own: here it is seen whether
// there were any.
func (c *consumer) expire(m *message, watch int) {
	if m.answered != unanswered || m.watch != watch {
		return
	}
	last := time.Duration(-1) // sign of life
	for _, a := range m.holders {
		if !a.dead {
			last = max(last, a.on.lastHeartbeat())
		}
	}
	if left := last + ackWait - c.w.now; left > 0 && !c.w.strikes(loseHeartbeat) {
		c.w.after(left, func() { c.expire(m, watch) })
		return
	}
	c.w.say("%s: no sign of life, delivering again", m)
	c.requeue(m)
}

// answer takes a command off. Its arrival does not depend on the worker that sent it.
func (c *consumer) answer(m *message, how answer, reason error) {
	if c.w.strikes(loseAck) {
		c.w.sight(AckLost)
		c.w.say("%s: acknowledgement lost", m)
		return
	}
	c.w.after(c.w.latency(), func() {
		if m.answered != unanswered {
			return
		}
		m.answered, m.reason = how, reason
		m.answeredAt = c.w.now
		c.ready = slices.DeleteFunc(c.ready, func(r *message) bool { return r == m })
	})
}

// retry has a command delivered again after d.
func (c *consumer) retry(m *message, d time.Duration) {
	if c.w.strikes(loseAck) {
		c.w.sight(AckLost)
		return
	}
	c.w.after(c.w.latency(), func() {
		if m.answered == unanswered && !slices.Contains(c.ready, m) {
			c.expectAnswer(m, d)
		}
	})
}

// restart is the server's: what it knew of deliveries is partly lost, and every command that was not answered is
// delivered again, while its worker may be at work on it.
func (c *consumer) restart() {
	if !c.w.strikes(restartServer) {
		return
	}
	c.w.sight(ServerRestarted)
	c.w.say("server restarts")
	c.doubtfulTill = c.w.now + 2*ackWait
	for _, m := range c.messages {
		if m.answered == unanswered && m.deliveries > 0 && !slices.Contains(c.ready, m) {
			m.deliveries = c.w.rng.Uint64N(m.deliveries + 1)
			m.forgotten = true
			m.watch++
			c.requeue(m)
		}
	}
}
