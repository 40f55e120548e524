-- No arrays of arrays here either (0014).
UPDATE distroseries SET apt_sources = ARRAY(SELECT unnest(apt_sources)) WHERE array_ndims(apt_sources) > 1;
ALTER TABLE distroseries ADD CONSTRAINT distroseries_apt_sources_flat CHECK (array_ndims(apt_sources) <= 1);
