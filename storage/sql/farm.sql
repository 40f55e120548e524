-- What holds for the whole farm; see storage/farm.py.

-- state --
SELECT farm.paused, farm.minimum_score,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('family', name, 'score', minimum_score) ORDER BY name), '[]')
        FROM processor_family WHERE minimum_score IS NOT NULL) AS family_scores
FROM farm;

-- pause --
UPDATE farm SET paused = %(why)s;

-- pause_for_now --
UPDATE farm SET paused = %(why)s WHERE paused = '';

-- resume_from --
UPDATE farm SET paused = '' WHERE paused = %(why)s;

-- set_minimum_score --
UPDATE farm SET minimum_score = %(score)s;

-- set_family_score --
-- No row: unknown family.
UPDATE processor_family SET minimum_score = %(score)s WHERE name = %(family)s;

-- families --
SELECT array_agg(name::text ORDER BY name) FROM processor_family;
