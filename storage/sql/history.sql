-- What a farm has done lately; see storage/history.py.

-- past_builds --
-- Builds that succeeded in the last days, the latest first.
SELECT source.name::text AS source, series.family::text, attempt.trusted,
       extract(epoch FROM attempt.ended - coalesce(attempt.accepted, attempt.started))::double precision AS seconds
FROM attempt
JOIN build ON build.id = attempt.build
JOIN source_release AS source ON source.id = build.source
JOIN distroarchseries AS series ON series.id = build.distroarchseries
WHERE attempt.outcome = 'OK' AND attempt.ended > now() - make_interval(days => %(days)s)
ORDER BY attempt.ended DESC
LIMIT %(most)s;

-- arrivals --
-- How many builds were made in the last days, or since there was the first, by whom they need.
SELECT series.family::text, archive.trusted, count(*)::integer AS builds,
       extract(epoch FROM now() - greatest(now() - make_interval(days => %(days)s),
                                           (SELECT min(created) FROM build)))::double precision / 3600 AS hours
FROM build
JOIN distroarchseries AS series ON series.id = build.distroarchseries
JOIN archive ON archive.id = build.archive
WHERE build.created > now() - make_interval(days => %(days)s)
GROUP BY series.family, archive.trusted
ORDER BY series.family, archive.trusted;
