package main

import (
	"bytes"
	"fmt"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/licensedetect/local"
	"github.com/rs/zerolog"
)

// sbom writes which modules a program consists of, with their licences, as CycloneDX. The modules are those that Go has recorded in the
// program itself.
func (r *release) sbom(t target) error {
	quiet := zerolog.Nop()
	g, err := bin.NewGenerator(r.path(t), bin.WithLogger(quiet), bin.WithIncludeStdlib(true), bin.WithVersionOverride("v"+r.version),
		bin.WithLicenseDetector(local.NewDetector(quiet)))
	if err != nil {
		return err
	}
	bom, err := g.Generate()
	if err != nil {
		return fmt.Errorf("SBOM of %s: %w", r.name(t), err)
	}
	bom.Metadata.Timestamp = r.moment.Format(time.RFC3339)
	bom.Metadata.Component.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	bom.Metadata.Component.ExternalReferences = &[]cdx.ExternalReference{
		{Type: cdx.ERTypeVCS, URL: r.home["repository"]},
		{Type: cdx.ERTypeDocumentation, URL: r.home["documentation"]},
		{Type: cdx.ERTypeSecurityContact, URL: "mailto:" + r.home["security"]},
	}
	var text bytes.Buffer
	e := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON)
	e.SetPretty(true)
	if err := e.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("SBOM of %s: %w", r.name(t), err)
	}
	return r.write(r.sbomPath(t), text.Bytes(), 0o644)
}

func (r *release) sbomPath(t target) string { return r.path(t) + ".cdx.json" }
