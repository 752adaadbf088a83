package node

import (
	"crypto/x509"
	"log/slog"
	"time"

	"qkv/actor"
	"qkv/index/kv"
)

const (
	// certificateClock is how often a member checks its certificate; handshakes check it on their own.
	certificateClock = time.Second
	// certificateReminder is the interval of repeated log lines about it, and expiredReminder the interval after its expiry.
	certificateReminder = 24 * time.Hour
	expiredReminder     = 10 * time.Minute
)

// certificate is a certificate that follows its files.
type certificate interface {
	Problem() string
	Certificate() *x509.Certificate
	NotAfter() time.Time
}

// certificateWatch reports the expiry of the member's own certificate, by an alarm and in the log. One clock calls it.
type certificateWatch struct {
	// Constant.
	certificate certificate
	file        string
	subject     string // of its alarm, if a member has several certificates
	status      *actor.Status
	logger      *slog.Logger
	now         func() time.Time

	// Owned by the clock.
	serial   string // of the certificate in use at the last check
	alarmed  bool
	expired  bool
	repeatAt time.Time // the earliest time of the next log line; meaningful while alarmed
}

func newCertificateWatch(c certificate, file string, status *actor.Status, logger *slog.Logger) *certificateWatch {
	return &certificateWatch{certificate: c, file: file, status: status, logger: logger, now: time.Now, serial: c.Certificate().SerialNumber.String()}
}

func (w *certificateWatch) look() {
	text, now := w.certificate.Problem(), w.now()
	w.status.Alarm(kv.Alarm{Name: kv.CertAlarm, Subject: w.subject, Text: text})
	if serial := w.certificate.Certificate().SerialNumber.String(); serial != w.serial {
		w.serial = serial
		w.logger.Info("a new certificate is in use", "file", w.file, "until", w.certificate.NotAfter(), "issuer", w.certificate.Certificate().Issuer.CommonName)
	}
	expired := text != "" && !now.Before(w.certificate.NotAfter())
	if text != "" && (!w.alarmed || expired != w.expired || !now.Before(w.repeatAt)) {
		w.logger.Warn("CERT: " + text)
		w.repeatAt = now.Add(certificateReminder)
		if expired {
			w.repeatAt = now.Add(expiredReminder)
		}
	}
	w.alarmed, w.expired = text != "", expired
}
