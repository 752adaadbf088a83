package node

import (
	"log/slog"
	"time"

	"qkv/actor"
	"qkv/net/wire"
)

const (
	// certificateClock is how often a member looks at its certificate; handshakes do so by themselves.
	certificateClock = time.Second
	// certificateReminder is how often the log repeats what is wrong with it, and expiredReminder from its end on.
	certificateReminder = 24 * time.Hour
	expiredReminder     = 10 * time.Minute
)

// certificateWatch tells an operator of the member's own certificate, by an alarm and in the log. One clock calls it.
type certificateWatch struct {
	// Constant.
	credentials *wire.Credentials
	status      *actor.Status
	logger      *slog.Logger
	now         func() time.Time

	// Owned by the clock.
	serial   string // of the certificate in use when it was last looked at
	alarmed  bool
	expired  bool
	repeatAt time.Time // not to be said again before; meaningful while alarmed
}

func newCertificateWatch(c *wire.Credentials, status *actor.Status, logger *slog.Logger) *certificateWatch {
	return &certificateWatch{credentials: c, status: status, logger: logger, now: time.Now, serial: c.Certificate().SerialNumber.String()}
}

func (w *certificateWatch) look() {
	text, now := w.credentials.Problem(), w.now()
	w.status.Alarm(actor.Alarm{Name: actor.Cert, Text: text})
	if serial := w.credentials.Certificate().SerialNumber.String(); serial != w.serial {
		w.serial = serial
		w.logger.Info("a new certificate is in use", "file", w.credentials.Source, "until", w.credentials.NotAfter())
	}
	expired := text != "" && !now.Before(w.credentials.NotAfter())
	if text != "" && (!w.alarmed || expired != w.expired || !now.Before(w.repeatAt)) {
		w.logger.Warn("CERT: " + text)
		w.repeatAt = now.Add(certificateReminder)
		if expired {
			w.repeatAt = now.Add(expiredReminder)
		}
	}
	w.alarmed, w.expired = text != "", expired
}
