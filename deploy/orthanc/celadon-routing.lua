-- Sends originals to Celadon as they arrive: CT images, and the contours (SEG, RTSTRUCT) that go with them.
-- Never Celadon's own results, which would make a loop. Instance by instance: waiting for a stable series costs a minute.

local MODALITY = 'celadon'         -- the name of Celadon under "DicomModalities"
local MANUFACTURER = 'celadon'     -- what Celadon writes into Manufacturer (0008,0070), in lower case
local ROUTED = { CT = true, SEG = true, RTSTRUCT = true }

local function trimmed(value)
   return (value or ''):gsub('^%s+', ''):gsub('%s+$', '')
end

-- The AE title that Celadon calls with, or nil while there is no such modality.
local function celadon_aet()
   local found, text = pcall(RestApiGet, '/modalities/' .. MODALITY .. '/configuration')
   local configuration = found and text and ParseJson(text)
   return configuration and configuration['AET']
end

function OnStoredInstance(instanceId, tags, metadata, origin)
   if not ROUTED[trimmed(tags['Modality'])] then
      return
   end
   if string.lower(trimmed(tags['Manufacturer'])) == MANUFACTURER then
      return
   end
   local aet = celadon_aet()
   if not aet or trimmed(origin['RemoteAet']) == aet then
      return
   end
   SendToModality(instanceId, MODALITY)
end
