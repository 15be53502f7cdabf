package streams

import (
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/jetsaga/jetsaga/saga"
)

// draft is the message of a commit in the making. A connection copies what it sends, so a draft whose commit has been
// sent is good for another.
type draft struct {
	msg   nats.Msg
	after [1]string // the value of the one header that every commit has
	more  bool      // there are other headers
}

// longDraft is the size from which a draft is not kept: few commits are as long.
const longDraft = 64 << 10

var drafts = sync.Pool{New: func() any {
	d := &draft{}
	d.msg.Header = nats.Header{jetstream.ExpectedLastSubjSeqHeader: d.after[:]}
	return d
}}

// newDraft writes a commit for a subject, to be stored if the subject's last message stands at that sequence. The caller
// discards it when it is sent.
func newDraft(subject string, after uint64, c *saga.Commit) (*draft, error) {
	d := drafts.Get().(*draft)
	data, err := saga.AppendCommit(d.msg.Data[:0], c)
	if err != nil {
		return nil, err
	}
	d.msg.Subject, d.msg.Data = subject, data
	d.after[0] = strconv.FormatUint(after, 10)
	return d, nil
}

// cancel has the server take back a schedule when it stores the commit.
func (d *draft) cancel(timer string) {
	d.more = true
	d.msg.Header[jetstream.SchedulerHeader] = []string{timer}
	d.msg.Header[jetstream.ScheduleNextHeader] = []string{"purge"}
}

func (d *draft) discard() {
	if cap(d.msg.Data) >= longDraft {
		return
	}
	if d.more {
		d.more = false
		delete(d.msg.Header, jetstream.SchedulerHeader)
		delete(d.msg.Header, jetstream.ScheduleNextHeader)
	}
	drafts.Put(d)
}
